"""A training that is asked to stop saves a checkpoint and ends; the next start does not remember."""

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.cli import main
from ray_jobs.exit_codes import STOPPED
from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs import training
from ray_jobs.runs.training import RunStoppedError, train
from trainables.engine.process.stop_request import find_request, request_stop, withdraw_request

pytestmark = pytest.mark.slow


def test_a_request_names_who_asked_until_it_is_withdrawn(tmp_path):
    folder = Folder(str(tmp_path))
    assert find_request(folder) is None
    request_stop(folder, "a test")
    assert find_request(folder) == "a test"
    withdraw_request(folder)
    withdraw_request(folder)
    assert find_request(folder) is None


@pytest.fixture
def stopping(monkeypatch):
    """Asks the run to stop once the record has taken in a row of the given step."""

    def at(step: int) -> None:
        apply = RunRecorder.apply

        def apply_and_ask(self, report):
            apply(self, report)
            if report["step"] == step:
                request_stop(self.folder, "a test")

        monkeypatch.setattr(training.RunRecorder, "apply", apply_and_ask)

    return at


@pytest.mark.parametrize("step", [3, 8, 19])
def test_a_stopped_run_resumes_to_the_same_result(toy, stopping, monkeypatch, step):
    reference, stopped = toy(tracking={"run_name": "reference"}), toy(tracking={"run_name": "stopped"})
    train(reference)
    with monkeypatch.context() as context:
        stopping(step)
        with pytest.raises(RunStoppedError, match=r"stopped by a test after step \d+, with a checkpoint"):
            train(stopped)
        context.undo()
    monkeypatch.undo()
    last = stopped.folder.names("checkpoints")[-1]
    assert int(last.removeprefix("step_")) < 24 and not stopped.folder.exists("final_metrics.json")
    train(stopped)
    assert stopped.folder.read("metrics.jsonl") == reference.folder.read("metrics.jsonl")
    weights = "models/step_000000024/model.safetensors"
    assert stopped.folder.read(weights) == reference.folder.read(weights)


def test_a_stop_request_just_before_the_end_changes_nothing(toy, stopping):
    experiment = toy()
    stopping(22)
    train(experiment)
    assert experiment.folder.read_json("final_metrics.json")["step"] == 24


def test_the_command_line_has_a_code_for_it(toy, stopping, tmp_path):
    experiment = toy()
    stopping(3)
    file = tmp_path / "toy.yaml"
    experiment.folder.make()
    import yaml

    file.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    assert main(["train", str(file)]) == STOPPED

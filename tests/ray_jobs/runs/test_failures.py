"""A machine in trouble: what the user is told, and that what was saved stays whole."""

import errno
import json
import time

import pytest
import yaml

from data_pipelines.storage.folder_writer import FolderWriter
from ray_jobs.cli import main
from ray_jobs.exit_codes import DONE, FAILED
from ray_jobs.runs.training import train
from tests.toy_workload.task import ToyTask
from trainables.contract.evaluation import EvaluationResult
from trainables.engine.files import checkpoint_writer
from trainables.engine.files.checkpoints import find_checkpoint
from trainables.engine.loop.evaluation import goal_value
from trainables.ray_train.worker_main import RunError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("is_beside", [False, True])
def test_a_disk_that_fills_up_leaves_the_previous_checkpoint(toy, tmp_path, capsys, monkeypatch, is_beside):
    reference, experiment = toy(tracking={"run_name": "reference"}), toy(tracking={"run_name": "full"})
    train(reference)
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    monkeypatch.setattr(checkpoint_writer, "MIN_BYTES_BESIDE", 0 if is_beside else 2**20)
    write = FolderWriter.write

    def fill_up(self, name, chunks):
        if "step_000000011" in str(self.folder) and name == "state.safetensors":
            write(self, name, list(chunks)[:1])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, name, chunks)

    monkeypatch.setattr(FolderWriter, "write", fill_up)
    assert main(["train", str(file)]) == FAILED
    assert "No space left on device: make room" in capsys.readouterr().err
    assert find_checkpoint(experiment.folder) == ("checkpoints/step_000000008", [])
    assert experiment.folder.names("checkpoints")[-1] == "step_000000008"
    assert not list(tmp_path.rglob(".tmp-*"))
    monkeypatch.undo()
    assert main(["train", str(file)]) == DONE
    assert experiment.folder.read("metrics.jsonl") == reference.folder.read("metrics.jsonl")


def test_a_clock_set_back_during_a_run_changes_only_the_times(toy, monkeypatch):
    reference, experiment = toy(tracking={"run_name": "reference"}), toy(tracking={"run_name": "clock"})
    train(reference)
    hours, real = iter(range(0, 10_000)), time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600 * next(hours))
    train(experiment)
    monkeypatch.undo()
    assert experiment.folder.read("metrics.jsonl") == reference.folder.read("metrics.jsonl")
    events = [json.loads(line) for line in experiment.folder.read("events.jsonl").splitlines()]
    assert [event["step"] for event in events] == sorted(event["step"] for event in events)
    assert all(value is None or value >= 0 for event in events for value in event["speed"].values())


def test_out_of_memory_is_reported_with_a_remedy(toy, monkeypatch):
    def too_much(self, module, batch, *, draws):
        raise MemoryError("cannot allocate 3 GiB")

    monkeypatch.setattr(ToyTask, "loss", too_much)
    with pytest.raises(RunError, match=r"out of memory: .*3 GiB; lower training.batch_size or raise training.accum"):
        train(toy())


def test_a_selection_metric_never_computed_ends_the_run(toy):
    goal = toy().workload.selection_metric
    with pytest.raises(
        ValueError, match=r"no metric 'test/mse', which decides the best model; it has test/mae, test/x"
    ):
        goal_value(EvaluationResult({"test/x": 1.0, "test/mae": 2.0}), goal)

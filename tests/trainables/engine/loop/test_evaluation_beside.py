"""Evaluations beside the training of the toy workload, by a stand-in for Ray that makes them when it is asked to."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import pytest
import ray.train
import torch
from safetensors.torch import load_file

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment
from trainables.contract.training_config import Cadence, EarlyStopping
from trainables.engine.files import checkpoint_writer
from trainables.engine.files.messages import WorkerReport
from trainables.engine.loop import loop
from trainables.engine.loop.evaluation import isolated_random
from trainables.engine.loop.evaluation_beside import EvaluationBeside, read_result
from trainables.engine.loop.loop import run_training
from trainables.engine.loop.train_state import Position
from trainables.engine.process.collectives import ProcessGroup
from trainables.engine.process.stop_request import request_stop, withdraw_request
from trainables.plan import Plan
from trainables.ray_train import validation
from trainables.ray_train.validation import validate
from trainables.ray_train.worker_main import RunError, run_locally

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """End of the process that trains."""


class Beside:
    """Trains a plan in this process, and evaluates a checkpoint when `late` further reports have come."""

    def __init__(self, experiment: Experiment, late: int, **training: Any):
        experiment.folder.make()
        plan = build_plan(experiment)
        settings = {"evaluate": "beside", "keep_checkpoints": 100}  # Ray keeps those that wait for an evaluation
        changed = plan.run.training.model_copy(update={**settings, **training})
        self.plan: Plan = replace(plan, run=plan.run.model_copy(update={"training": changed}))
        self.late, self.asked = late, []
        self.reports: list[WorkerReport] = []
        self._due: list[tuple[int, str]] = []
        self.on_report: Callable[[WorkerReport], object] = lambda report: None

    @property
    def messages(self) -> list[str]:
        return [line for report in self.reports for line in report["messages"]]

    def train(self) -> None:
        record = RunRecorder(self.plan.folder, prints=False)

        def report(content: WorkerReport) -> None:
            self.reports.append(content)
            record.apply(content)
            if content.get("evaluates"):
                checkpoint = content.get("checkpoint", "")
                self.asked.append(int(checkpoint[-3:]))
                self._due.append((len(self.reports) + self.late, checkpoint))
            self.on_report(content)
            while self._due and self._due[0][0] <= len(self.reports):
                self.evaluate(self._due.pop(0)[1])

        try:
            run_locally(self.plan, run_training, report)
        finally:
            record.close()

    def evaluate_rest(self) -> None:
        """Evaluate what was asked for, because the training stands still."""
        while self._due:
            self.evaluate(self._due.pop(0)[1])

    def evaluate(self, checkpoint: str) -> None:
        with isolated_random():  # as in a process of its own
            validate(ray.train.Checkpoint(self.plan.folder.full(checkpoint)), self.plan)


@pytest.fixture
def beside(toy, monkeypatch) -> Callable[..., Beside]:
    monkeypatch.setattr(validation, "time", MagicMock())

    def build(late: int = 0, name: str = "beside", workload: dict[str, Any] | None = None, **training: Any) -> Beside:
        built = Beside(toy(workload=workload, tracking={"run_name": name}), late, **training)

        def pause(seconds: float) -> None:
            assert built._due, "the training waits for what nobody was asked for"
            built.evaluate_rest()

        monkeypatch.setattr(loop.time, "sleep", pause)
        return built

    return build


def outcome(folder: Folder) -> dict[str, Any]:
    """All that a run leaves, without its name and settings."""
    aliases = folder.read_json("models/aliases.json")
    named = {aliases["best"], aliases["latest"], *aliases["kept"]}
    assert set(folder.names("models")) == {*named, "aliases.json"}
    models = {}
    for name in named:
        metadata = folder.read_json(f"models/{name}/metadata.json")
        weights = load_file(folder.full(f"models/{name}/model.safetensors"))
        models[name] = {
            **{key: value for key, value in metadata.items() if key not in ("config", "run_id")},
            "weights": {key: tensor.tolist() for key, tensor in weights.items()},
        }
    return {
        "rows": rows_of(folder),
        "final": {**folder.read_json("final_metrics.json"), "run_id": ""},
        "aliases": aliases,
        "models": models,
        "table": folder.read("pictures/eval/table/table.csv"),
    }


def rows_of(folder: Folder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.read("metrics.jsonl").splitlines()]


@pytest.mark.parametrize("late", [0, 1, 2, 100])
def test_the_record_is_that_of_inline_evaluations(toy, beside, late):
    inline = toy(training={"evaluate_every": "4 steps", "models_every": "12 steps"}, tracking={"run_name": "inline"})
    train(inline)
    run = beside(late, evaluate_every=Cadence(count=4, unit="steps"), models_every=Cadence(count=12, unit="steps"))
    run.train()
    assert outcome(run.plan.folder) == outcome(inline.folder)
    assert run.asked == [4, 8, 12, 16, 20]  # the end is evaluated inline
    assert not run.plan.folder.exists("beside")


def test_rows_wait_for_the_evaluation_of_an_earlier_step(beside):
    run = beside(late=1)
    run.train()
    asked = next(index for index, report in enumerate(run.reports) if report.get("evaluates"))
    waiting, come = run.reports[asked + 1 : asked + 3]
    assert not waiting["rows"] and waiting["newest_row"]["step"] == waiting["step"] == 11
    assert [row["step"] for row in come["rows"]] == list(range(8, 15))
    assert "test/mse" in come["rows"][0] and "newest_row" not in come


def test_the_training_waits_before_the_next_one_is_due(beside):
    run = beside(late=100)
    run.train()
    assert sum("waits for the evaluation beside it" in line for line in run.messages) == 1
    assert run.asked == [8, 16]


@pytest.mark.parametrize("is_evaluated", [False, True])
@pytest.mark.parametrize("killed_at", [9, 11, 15, 18])
def test_a_killed_run_ends_with_the_same_record(beside, killed_at, is_evaluated):
    whole = beside(late=1, name="whole")
    whole.train()
    run = beside(late=100, checkpoint_every_steps=1)

    def kill(report: WorkerReport) -> None:
        if report["step"] >= killed_at:
            if is_evaluated:
                run.evaluate_rest()
            raise Killed

    run.on_report = kill
    with pytest.raises(Killed):
        run.train()
    again = beside(late=1)
    again.train()
    assert outcome(run.plan.folder) == outcome(whole.plan.folder)
    assert again.asked == [
        step for step in (8, 16) if step not in run.asked or (step == run.asked[-1] and not is_evaluated)
    ]


def test_early_stopping_follows_what_comes_later(beside):
    run = beside(late=1, early_stopping=EarlyStopping(patience=1, min_delta=1e9))
    run.train()
    last = run.reports[-1]
    assert last["is_finished"] and 16 < last["step"] < 24
    assert "test/mse" in last["rows"][-1]  # the last model is evaluated too
    assert sum("stopped early" in line for line in run.messages) == 1


def test_a_stage_ends_with_an_inline_evaluation(beside, toy):
    inline = toy(workload={"rounds": 2}, tracking={"run_name": "inline"})
    train(inline)
    run = beside(1, workload={"rounds": 2})
    run.train()
    assert outcome(run.plan.folder) == outcome(inline.folder)
    assert run.asked == [8, 16, 32, 40]


def test_a_failed_evaluation_ends_the_run_with_its_cause(beside):
    run = beside(workload={"selection": {"metric": "val/mse", "mode": "min"}})
    evaluate = run.evaluate

    def fail(checkpoint: str) -> None:
        with pytest.raises(RunError):
            evaluate(checkpoint)

    run.evaluate = fail
    with pytest.raises(RunError, match=r"the evaluation of step 8 failed: .*no metric 'val/mse'"):
        run.train()
    again = beside()
    again.train()  # it is asked for once more
    assert again.asked == [8, 16]


def test_an_error_before_the_evaluation_is_its_result(beside):
    run = beside()
    elsewhere = replace(run.plan, prepared=Folder("/nowhere"))
    with pytest.raises(RunError):
        validate(ray.train.Checkpoint(run.plan.folder.full("checkpoints/step_000000008")), elsewhere)
    assert "/nowhere" in (read_result(run.plan.folder, 8) or {})["error"]


def test_a_process_that_is_lost_each_time_is_an_error(beside, monkeypatch):
    def die(*arguments: Any) -> None:
        raise Killed

    monkeypatch.setattr(validation, "run_locally", die)
    run = beside(max_failures=1)
    for error in (Killed, Killed, RunError):
        assert read_result(run.plan.folder, 8) is None
        with pytest.raises(error):
            run.evaluate("checkpoints/step_000000008")
    assert "lost 2 times" in (read_result(run.plan.folder, 8) or {})["error"]


@pytest.mark.parametrize("is_known", [False, True])
def test_what_ray_was_asked_for_is_not_asked_again(tmp_path, is_known):
    for name in ("checkpoints", "beside"):  # where Ray's process may be writing
        (tmp_path / name / "step_000000008").mkdir(parents=True)
    worker: Any = MagicMock(folder=Folder(str(tmp_path)), is_deleted_elsewhere=lambda name: is_known)
    worker.collectives = ProcessGroup(torch.device("cpu"))
    position = Position(evaluations=[{"step": 8, "is_kept": False}])
    lost = EvaluationBeside(worker, worker, worker, worker).find_lost(position)
    assert lost == ([] if is_known else ["checkpoints/step_000000008"])
    assert worker.folder.exists("beside/step_000000008") == is_known and position.evaluations


def test_what_waits_for_a_lost_checkpoint_goes_on_without(beside):
    run = beside(late=100)

    def kill(report: WorkerReport) -> None:
        if report["step"] >= 12:
            raise Killed

    run.on_report = kill
    with pytest.raises(Killed):
        run.train()
    run.plan.folder.delete("checkpoints/step_000000008")
    again = beside()
    again.train()
    rows = rows_of(run.plan.folder)
    assert [row["step"] for row in rows] == list(range(1, 25))
    assert [row["step"] for row in rows if "test/mse" in row] == [16, 24]
    assert any("step 8 stays without an evaluation" in line for line in again.messages)


class Late(Future[Any]):
    """Work that is done once somebody waits for it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        super().__init__()
        self._work = partial(function, *arguments)

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self.set_result(self._work())
        return super().result(timeout)


@pytest.fixture
def late_writing(monkeypatch) -> None:
    monkeypatch.setattr(checkpoint_writer, "MIN_BYTES_BESIDE", 0)
    monkeypatch.setattr(checkpoint_writer, "_run_in_thread", Late)


def test_who_waits_has_asked_for_the_evaluation(beside, late_writing):
    run = beside(late=100, checkpoint_every_steps=None)
    run.train()
    assert run.asked == [8, 16]


def test_a_stop_loses_no_request(beside, late_writing):
    run = beside(late=100, keep_checkpoints=1)
    run.on_report = lambda report: request_stop(run.plan.folder, "test") if report["step"] == 8 else None
    run.train()
    last: Any = run.reports[-1]
    assert (last["stopped_by"], last["step"], last["checkpoint"]) == ("test", 11, "checkpoints/step_000000008")
    assert run.asked == [8] and run.plan.folder.names("checkpoints") == ["step_000000008", "step_000000011"]


def stop_while_waiting(run: Beside, monkeypatch, *, waits: int) -> None:
    """Train, and ask for a stop when the training waits for an evaluation after so many others that it waited for."""
    pauses = iter(range(100))

    def pause(seconds: float) -> None:
        if next(pauses) < waits:
            run.evaluate_rest()
        else:
            request_stop(run.plan.folder, "test")

    monkeypatch.setattr(loop.time, "sleep", pause)
    run.train()
    assert run.reports[-1].get("stopped_by") == "test"
    withdraw_request(run.plan.folder)


def test_a_stop_does_not_wait_for_an_evaluation(beside, monkeypatch):
    whole = beside(late=1, name="whole")
    whole.train()
    run = beside(late=100)
    stop_while_waiting(run, monkeypatch, waits=0)
    assert run.reports[-1]["step"] == 16 and run.asked == [8, 16]
    again = beside(late=1)
    again.train()
    assert again.asked == [8, 16] and outcome(run.plan.folder) == outcome(whole.plan.folder)


def test_early_stopping_leaves_out_what_comes_after_it(beside, monkeypatch):
    rule = {
        "evaluate_every": Cadence(count=4, unit="steps"),
        "early_stopping": EarlyStopping(patience=1, min_delta=1e9),
    }
    run = beside(late=100, **rule)
    stop_while_waiting(run, monkeypatch, waits=1)
    assert run.asked == [4, 8, 12]
    again = beside(late=1, **rule)
    again.train()
    assert again.asked == [8, 12] and again.reports[-1]["is_finished"]
    rows = rows_of(run.plan.folder)
    assert [row["step"] for row in rows] == list(range(1, 15))
    assert [row["step"] for row in rows if "test/mse" in row] == [4, 8, 14]
    assert sum("stopped early" in line for line in again.messages) == 1


def test_it_needs_workers(toy):
    with pytest.raises(ValueError, match=r"training.evaluate: beside.*scaling.num_workers. is 0"):
        train(toy(training={"evaluate": "beside"}))

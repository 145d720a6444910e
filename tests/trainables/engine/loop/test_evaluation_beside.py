"""Evaluations beside the training of the toy workload, by a stand-in for Ray that makes them when it is asked to."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from safetensors.torch import load_file

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment
from trainables.contract.training_config import Cadence, EarlyStopping
from trainables.engine.files.messages import WorkerReport
from trainables.engine.loop import loop
from trainables.engine.loop.evaluation import isolated_random
from trainables.engine.loop.evaluation_beside import evaluate_beside
from trainables.engine.loop.loop import run_training
from trainables.plan import Plan
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
            run_locally(replace(self.plan, feed="stream"), partial(evaluate_beside, checkpoint=checkpoint))


@pytest.fixture
def beside(toy, monkeypatch) -> Callable[..., Beside]:
    def build(late: int = 0, name: str = "beside", workload: dict[str, Any] | None = None, **training: Any) -> Beside:
        built = Beside(toy(workload=workload, tracking={"run_name": name}), late, **training)
        monkeypatch.setattr(loop.time, "sleep", lambda seconds: built.evaluate_rest())
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


def test_it_needs_workers(toy):
    with pytest.raises(ValueError, match=r"training.evaluate: beside.*scaling.num_workers. is 0"):
        train(toy(training={"evaluate": "beside"}))

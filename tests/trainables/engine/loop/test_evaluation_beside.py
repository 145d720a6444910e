"""Evaluations beside the training of the toy workload, by a stand-in for Ray that makes them when it is asked to."""

from dataclasses import replace
from typing import Any
from unittest.mock import MagicMock

import pytest
import ray.train
import torch

from data_pipelines.storage.folder import Folder
from ray_jobs.runs.training import train
from tests.trainables.engine.loop.runs_beside import Killed, outcome, rows_of
from trainables.contract.training_config import Cadence, EarlyStopping
from trainables.engine.files.messages import WorkerReport
from trainables.engine.loop.evaluation_beside import EvaluationBeside, read_result
from trainables.engine.loop.train_state import Position
from trainables.engine.process.collectives import ProcessGroup
from trainables.ray_train import validation
from trainables.ray_train.validation import validate
from trainables.ray_train.worker_main import RunError

pytestmark = pytest.mark.slow


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


def test_a_damaged_checkpoint_leaves_its_step_unevaluated(beside):
    run = beside()
    evaluate = run.evaluate

    def damage(checkpoint: str) -> None:
        if checkpoint.endswith("008"):
            folder = run.plan.folder / checkpoint
            name = next(name for name in folder.names() if name.endswith(".safetensors"))
            folder.write(name, folder.read(name)[:-1])
        evaluate(checkpoint)

    run.evaluate = damage
    run.train()
    assert sum("step 8 stays without an evaluation" in line for line in run.messages) == 1
    evaluated = [row["step"] for row in rows_of(run.plan.folder) if "test/mse" in row]
    assert 8 not in evaluated and evaluated[0] == 16 and rows_of(run.plan.folder)[8 - 1]["step"] == 8


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


def test_a_process_without_a_result_ends_the_wait(tmp_path):
    worker: Any = MagicMock(folder=Folder(str(tmp_path)), is_evaluation_failed=lambda name: name == "step_000000008")
    worker.collectives = ProcessGroup(torch.device("cpu"))
    evaluation, position = EvaluationBeside(worker, worker, worker, worker), Position()
    position.evaluations = [{"step": 8, "is_kept": False}]
    assert not evaluation.settle(position)
    with pytest.raises(RuntimeError, match="evaluation of step 8 failed: its process ended before it could begin"):
        evaluation.settle(position, is_awaited=True)
    position.evaluations = [{"step": 9, "is_kept": False}]
    assert not evaluation.settle(position, is_awaited=True)


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


def test_it_needs_workers(toy):
    with pytest.raises(ValueError, match=r"training.evaluate: beside.*scaling.num_workers. is 0"):
        train(toy(training={"evaluate": "beside"}))

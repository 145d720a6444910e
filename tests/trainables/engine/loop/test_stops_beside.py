"""Stops and late checkpoints of a training that is evaluated beside: no request is lost, and nobody waits too long."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from tests.trainables.engine.loop.runs_beside import Beside, outcome, rows_of
from trainables.contract.training_config import Cadence, EarlyStopping
from trainables.engine.files import checkpoint_writer
from trainables.engine.loop import loop
from trainables.engine.process.stop_request import request_stop, withdraw_request

pytestmark = pytest.mark.slow


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
    monkeypatch.setattr(checkpoint_writer, "run_in_thread", Late)


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

"""While the end of a machine is announced, every report saves a checkpoint; nothing else changes."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import train
from trainables.engine.loop import preemption
from trainables.engine.loop.loop import run_training
from trainables.ray_train import worker_main
from trainables.ray_train.worker_main import describe_drain, run_locally

RARELY = {"checkpoint_every": "100 epochs", "checkpoint_every_steps": None, "keep_checkpoints": 100}


@pytest.mark.slow
def test_every_report_saves_a_checkpoint_while_a_notice_stands(toy, monkeypatch):
    reference, experiment = toy(training=RARELY), toy(training=RARELY, tracking={"run_name": "noticed"})
    train(reference)
    assert reference.folder.names("checkpoints") == ["step_000000024"]
    notices = iter([None, None, "gone at 12:00", "gone at 12:00", "gone at 11:00", None, None, None, None])
    experiment.folder.make()
    plan, record = build_plan(experiment), RunRecorder(experiment.folder)
    process = worker_main.Runtime
    monkeypatch.setattr(
        worker_main, "Runtime", lambda *items: replace(process(*items), preemption_notice=lambda: next(notices))
    )
    run_locally(plan, run_training, record.apply)
    steps = [int(name.removeprefix("step_")) for name in experiment.folder.names("checkpoints")]
    assert steps == [8, 11, 14, 24]  # reports come after steps 3, 6, 8 of each epoch
    words = experiment.folder.read("train.log").decode()
    assert words.count("gone at 12:00; until then every report saves a checkpoint") == 1
    assert words.count("gone at 11:00; until then every report saves a checkpoint") == 1
    assert experiment.folder.read("metrics.jsonl") == reference.folder.read("metrics.jsonl")


@pytest.mark.parametrize(("deadline_ms", "when"), [(None, "soon"), (1_700_000_000_123, "at ")])
def test_the_notice_says_how_many_machines_and_when(deadline_ms, when):
    assert f"2 of the run's machines will be taken {when}" in describe_drain(deadline_ms, 2)


@pytest.mark.slow
def test_a_checkpoint_by_time_is_saved_at_a_logged_row(toy, monkeypatch):
    """The clock goes on by 25 seconds with each look: one at each report, which come after steps 3, 6, 8 of an epoch,
    and one after each checkpoint."""
    timed = {"checkpoint_every": "1 minutes", "checkpoint_every_steps": None, "keep_checkpoints": 100}
    clock = itertools.count(0.0, 25.0)
    monkeypatch.setattr(preemption, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    experiment = toy(training=timed)
    train(experiment)
    steps = [int(name.removeprefix("step_")) for name in experiment.folder.names("checkpoints")]
    assert steps == [8, 16, 24]

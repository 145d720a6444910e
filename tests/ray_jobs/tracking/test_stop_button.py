"""W&B's Stop button: a checkpoint and an end; the same command goes on to the same result."""

import time

import pytest

from ray_jobs.runs.training import RunStoppedError, train
from ray_jobs.tracking.mirror_handle import MirrorHandle
from tests.ray_jobs.tracking.conftest import assert_same_rows, rows_of, run_of, warnings_of

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("default")]


def test_the_stop_button(server, tracked, toy, monkeypatch):
    reference = toy(training={"epochs": 40, "pictures_every": None}, tracking={"run_name": "reference"})
    train(reference)
    experiment = tracked({"training": {"epochs": 40, "pictures_every": None}})
    notify = MirrorHandle.notify

    def press(self: MirrorHandle) -> None:
        notify(self)
        deadline = time.monotonic() + 60.0
        while not experiment.folder.exists("stop.json") and time.monotonic() < deadline:
            for run in list(server.runs.values()):
                run.is_stopped = True
            time.sleep(0.1)  # wandb asks every 15 s

    monkeypatch.setattr(MirrorHandle, "notify", press)
    with pytest.raises(RunStoppedError, match=r"stopped by W&B's Stop button after step .* the same command goes on"):
        train(experiment)
    monkeypatch.setattr(MirrorHandle, "notify", notify)
    [run] = server.runs.values()
    run.is_stopped = False
    stopped_after = rows_of(experiment)[-1]["step"]
    assert 0 < stopped_after < 320 and experiment.folder.exists(f"checkpoints/step_{stopped_after:09d}")
    assert not experiment.folder.exists("final_metrics.json")
    train(experiment)
    assert experiment.folder.read("metrics.jsonl") == reference.folder.read("metrics.jsonl")
    assert_same_rows(run_of(server, experiment).history, rows_of(experiment))
    assert warnings_of(experiment) == []

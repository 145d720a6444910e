"""Whatever the server does: one warning, the same result, a bounded wait, and nothing lost."""

import time
from collections.abc import Callable

import pytest

from ray_jobs.runs.training import train
from ray_jobs.tracking.mirror_handle import MirrorHandle
from tests.fake_wandb import FakeWandb
from tests.fake_wandb.process import KEY
from tests.ray_jobs.tracking.conftest import (
    assert_recorded_offline,
    assert_same_rows,
    assert_unchanged,
    rows_of,
    run_of,
    train_within_bound,
    warnings_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


AT_START: dict[str, Callable[[FakeWandb], None]] = {
    "refuses": lambda server: server.refuse(),
    "answers 500": lambda server: server.fail(500),
    "answers 429": lambda server: server.fail(429),
    "answers 401": lambda server: server.fail(401),
    "hangs": lambda server: server.hang(),
}


@pytest.mark.parametrize("fault", AT_START)
def test_a_server_that_cannot_be_used_at_the_start(server, tracked, reference, fault):
    AT_START[fault](server)
    experiment = tracked()
    train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert "W&B was lost (start: " in warning and "goes on offline" in warning and "quintet sync" in warning
    assert_recorded_offline(experiment)


def test_no_key(server, tracked, reference, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    experiment = tracked()
    train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert "No API key configured" in warning
    assert_recorded_offline(experiment)


def test_a_wrong_key(home, tracked, reference, monkeypatch):
    with FakeWandb(keys={"local-" + "f" * 40}) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        experiment = tracked()
        train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert "goes on offline" in warning and KEY not in warning
    assert_recorded_offline(experiment)


AFTER_START: dict[str, Callable[[FakeWandb], None]] = {
    "refuses": lambda server: server.refuse(),
    "answers 500": lambda server: server.fail(500, on="filestream"),
    "answers 404": lambda server: server.fail(404, on="filestream"),
    "answers 401": lambda server: server.fail(401),
    "hangs": lambda server: server.hang(),
}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(name, marks=pytest.mark.faults if name in ("refuses", "answers 404", "hangs") else ())
        for name in AFTER_START
    ],
)
def test_a_server_that_is_lost_in_mid_run(server, tracked, reference, monkeypatch, fault):
    experiment = tracked()
    strike_once_begun(monkeypatch, server, AFTER_START[fault])
    train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert "W&B" in warning and "quintet sync" in warning
    held = [row for row in run_of(server, experiment).history if row]
    assert len(held) < 24


def strike_once_begun(monkeypatch, server: FakeWandb, strike: Callable[[FakeWandb], None]) -> None:
    """Let the mirror begin its run, then let the fault strike before the first row goes out."""
    notify = MirrorHandle.notify
    struck: list[bool] = []

    def wake_after_strike(self: MirrorHandle) -> None:
        deadline = time.monotonic() + 20.0
        while not struck and time.monotonic() < deadline:
            if server.runs:
                strike(server)
                struck.append(True)
            time.sleep(0.02)
        notify(self)

    monkeypatch.setattr(MirrorHandle, "notify", wake_after_strike)


def test_an_outage_that_ends_loses_nothing_and_warns_of_nothing(server, tracked, reference, monkeypatch):
    experiment = tracked(finish_timeout_s=60.0)
    strike_once_begun(monkeypatch, server, lambda server: server.fail(500, on="filestream", times=2))
    train(experiment)
    assert_unchanged(experiment, reference)
    assert warnings_of(experiment) == []
    assert_same_rows(run_of(server, experiment).history, rows_of(experiment))

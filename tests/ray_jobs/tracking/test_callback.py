"""The callback is Ray's, and only wakes mirrors."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.integrations.wandb import WandbLoggerCallback

from ray_jobs.tracking.callback import RecordWandbCallback

pytestmark = pytest.mark.filterwarnings("default")


class Mirror:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def notify(self) -> None:
        self.calls.append("wake")

    def close(self) -> None:
        self.calls.append("close")

    def finish(self) -> int:
        self.calls.append("finish")
        return 0


@pytest.fixture
def mirrors() -> list[Mirror]:
    return []


@pytest.fixture
def callback(mirrors) -> RecordWandbCallback:
    def start(trial: Any) -> Any:
        mirrors.append(Mirror())
        return mirrors[-1]

    return RecordWandbCallback(start)


def trial(name: str) -> Any:
    return SimpleNamespace(trial_id=name)


def test_the_callback_is_rays_own_and_needs_no_key_or_project(callback, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert isinstance(callback, WandbLoggerCallback)
    callback.setup()


def test_it_can_be_made_where_wandb_is_not_installed(monkeypatch):
    monkeypatch.setattr("ray.air.integrations.wandb.wandb", None)
    RecordWandbCallback(lambda trial: None)  # pyright: ignore


def test_every_trial_has_one_mirror_through_its_restarts(callback, mirrors):
    a, b = trial("a"), trial("b")
    callback.log_trial_start(a)
    callback.log_trial_result(1, a, {})
    callback.log_trial_start(a)
    callback.log_trial_result(1, b, {})
    callback.log_trial_save(a)
    callback.log_trial_result(2, a, {})
    callback.log_trial_end(a)
    assert [mirror.calls for mirror in mirrors] == [["wake", "wake", "close"], ["wake"]]  # nobody waits yet
    callback.on_experiment_end([a, b])
    callback.finish_all()
    callback.log_trial_end(a)
    assert [mirror.calls for mirror in mirrors] == [
        ["wake", "wake", "close", "close", "finish"],
        ["wake", "close", "finish"],
    ]

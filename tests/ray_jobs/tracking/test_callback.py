"""The callback has the hooks of Ray's own, and only wakes mirrors."""

import inspect
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.logger import LoggerCallback

from ray_jobs.tracking.callback import WandbLoggerCallback

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
def callback(mirrors) -> WandbLoggerCallback:
    def start(trial: Any) -> Any:
        mirrors.append(Mirror())
        return mirrors[-1]

    return WandbLoggerCallback(start)


def trial(name: str) -> Any:
    return SimpleNamespace(trial_id=name)


def test_the_callback_has_the_hooks_of_rays_own(callback, monkeypatch):
    """Without its code: that needs a project and a key at `setup`, and imports wandb."""
    from ray.air.integrations import wandb

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert isinstance(callback, LoggerCallback)
    callback.setup()
    own = dict(inspect.getmembers(wandb.WandbLoggerCallback, inspect.isfunction))
    hooks = [name for name in own if name.startswith(("log_", "on_"))]
    assert {"log_trial_start", "log_trial_result", "log_trial_save", "log_trial_end", "on_experiment_end"} <= set(hooks)
    for name in hooks:
        names = list(inspect.signature(getattr(WandbLoggerCallback, name)).parameters)
        assert names == list(inspect.signature(own[name]).parameters)


def test_no_import_of_the_callback_imports_wandb():
    script = "import sys, ray_jobs.tracking.callback, ray_jobs.search.sweep, ray_jobs.runs.training\n"
    script += "from ray import tune; assert tune.Tuner and 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


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

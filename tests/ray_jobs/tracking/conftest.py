"""Runs of the toy workload that are tracked, with a W&B server of the test's own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from ray_jobs.run_folder.identity import load_identity
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment
from ray_jobs.tracking.mirror_handle import MirrorHandle
from ray_jobs.tracking.tracking_process import Tracker
from tests.fake_wandb import FakeWandb
from tests.fake_wandb.process import wandb_environment
from tests.fake_wandb.state import Run
from tests.ray_jobs.tracking.segments import Segment, load_segment

ROOT = Path(__file__).resolve().parents[3]
Tracked = Callable[..., Experiment]
BOUND_S = 45.0
"""init 2 s, finish 5 s, both with the grace that the handle gives, on a machine that is busy."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder for W&B; no server answers."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, value in wandb_environment(folder).items():
        if os.environ.get(name) != value and name not in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_DIR")
    return folder


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    """A W&B server; W&B is told of it."""
    with FakeWandb() as fake:
        monkeypatch.setenv("WANDB_BASE_URL", fake.url)
        yield fake
    assert fake.errors == []


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    """The tracking of one driver, whose processes are gone at the end."""
    with closing(Tracker()) as tracker:
        yield tracker


@pytest.fixture
def tracked(toy: Callable[..., Experiment]) -> Tracked:
    """Builds toy experiments with W&B on; keyword arguments are settings of `tracking`, `sections` whole sections."""

    def build(sections: dict[str, Any] | None = None, **tracking: Any) -> Experiment:
        settings = {"wandb": True, "project": "team/project", "run_name": "toy-run", "init_timeout_s": 2.0, **tracking}
        return toy(tracking={"finish_timeout_s": 5.0, **settings}, **(sections or {}))

    return build


def rows_of(experiment: Experiment) -> list[dict[str, Any]]:
    """The record's rows."""
    return [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]


def segments_of(experiment: Experiment, kind: str = "offline-run") -> list[Segment]:
    """The run's W&B files, oldest first."""
    folder = Path(experiment.folder.full("wandb"))
    files = sorted(folder.glob(f"{kind}-*/run-*.wandb"), key=lambda file: file.parent.name)
    return [load_segment(file) for file in files if file.stat().st_size]


def run_of(server: FakeWandb, experiment: Experiment) -> Run:
    """The experiment's run on the server."""
    return server.run(load_identity(experiment.folder).wandb_id)


def assert_same_rows(sent: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Every row of the record is there once, in order, with all its values at its own step."""
    assert [row["_step"] for row in sent] == [row["step"] for row in rows]
    for there, here in zip(sent, rows, strict=True):
        assert {name: there.get(name) for name in here} == here


def train_apart(experiment: Experiment, file: Path) -> subprocess.CompletedProcess[str]:
    """`train` in a process of its own, which may be killed."""
    file.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    command = [sys.executable, "-m", "tests.toy_workload", "train", str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def warnings_of(experiment: Experiment) -> list[str]:
    """What the log warns of."""
    lines = experiment.folder.read("train.log").decode().splitlines()
    return [line.partition(" WARNING ")[2] for line in lines if " WARNING " in line]


def killing_one_process(monkeypatch: pytest.MonkeyPatch, experiment: Experiment) -> list[int]:
    """The tracking process is killed once, when W&B's own file has rows; the list then holds its number."""
    killed: list[int] = []
    notify = MirrorHandle.notify

    def kill_once(self: MirrorHandle) -> None:
        notify(self)
        if killed or len(rows_of(experiment)) < 9:
            return
        wait_until(lambda: any(segment.rows for segment in segments_of(experiment)))  # W&B writes every 15 s
        assert self.process is not None
        killed.append(self.process.pid)
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process._process.wait() == -signal.SIGKILL

    monkeypatch.setattr(MirrorHandle, "notify", kill_once)
    return killed


def wait_until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def reference(toy) -> Experiment:
    """The same run without W&B."""
    experiment = toy(tracking={"run_name": "reference"})
    train(experiment)
    return experiment


def assert_unchanged(experiment: Experiment, reference: Experiment) -> None:
    assert experiment.folder.read("metrics.jsonl") == reference.folder.read("metrics.jsonl")
    weights = "models/step_000000024/model.safetensors"
    assert experiment.folder.read(weights) == reference.folder.read(weights)


def train_within_bound(experiment: Experiment) -> None:
    began = time.monotonic()
    train(experiment)
    assert time.monotonic() - began < BOUND_S
    left = [child for child in psutil.Process().children(recursive=True) if "process_main" in command_of(child)]
    assert left == []


def command_of(process: psutil.Process) -> str:
    """The command of a process; empty for one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def assert_recorded_offline(experiment: Experiment) -> None:
    [segment] = [segment for segment in segments_of(experiment) if segment.rows]
    assert_same_rows(segment.rows, rows_of(experiment))
    assert segment.is_complete
    assert any(artifact.type == "model" for artifact in segment.artifacts)

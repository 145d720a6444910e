"""Whatever is wrong with W&B on this machine: one warning, the same result, a bounded wait, and nothing lost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import resolve_identity
from ray_jobs.runs.training import train
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.mirror_files import WandbDir
from ray_jobs.tracking.mirror_handle import MirrorHandle
from ray_jobs.tracking.wandb_core import WandbCore
from ray_jobs.tracking.wandb_session import Session, SessionLostError
from tests.ray_jobs.tracking.conftest import (
    assert_same_rows,
    assert_unchanged,
    rows_of,
    run_of,
    segments_of,
    train_within_bound,
    wait_until,
    warnings_of,
)
from tests.ray_jobs.tracking.segments import load_segment

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def shadow_wandb(folder: Path, monkeypatch, source: str) -> None:
    """Put another package `wandb` in front of the real one, for the mirror's process."""
    (folder / "shadow/wandb").mkdir(parents=True)
    (folder / "shadow/wandb/__init__.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder / "shadow"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise ImportError('No module named wandb')", "ImportError: No module named wandb"),
        ("raise RuntimeError('its parts do not fit')", "RuntimeError: its parts do not fit"),
        ("def init(:", "SyntaxError"),
        ("__version__ = '0.12'", "AttributeError"),
    ],
    ids=["missing", "broken", "torn", "old"],
)
def test_a_package_that_cannot_be_used(home, tracked, reference, tmp_path, monkeypatch, source, words):
    shadow_wandb(tmp_path, monkeypatch, source)
    experiment = tracked(mode="offline")
    train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert words in warning and "W&B is off" in warning


def test_a_folder_that_cannot_be_made(home, tracked, reference, tmp_path):
    (tmp_path / "file").write_text("in the way")
    experiment = tracked(mode="offline", folder=str(tmp_path / "file/below"))
    train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert "cannot be written" in warning and str(tmp_path / "file/below") in warning


@pytest.fixture
def mounted(tmp_path: Path):
    """A function that mounts a small file system at a folder; skips where that is not allowed."""
    folders: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / "mounted"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a file system needs the rights of an administrator")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_read_only_folder(home, tracked, reference, mounted):
    folder = mounted("ro")
    experiment = tracked(mode="offline", folder=str(folder))
    train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert "cannot be written" in warning and "Read-only file system" in warning


def test_a_full_disk(server, tracked, reference, mounted):
    """W&B's own process does not say that its file is full; what is lacking is seen at the end, and sent by `sync`."""
    experiment = tracked(mode="offline", folder=str(mounted("size=8k")))
    train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert "W&B" in warning and "quintet sync" in warning


def test_a_disk_that_was_full_for_a_while_is_noticed(home, tmp_path, mounted):
    """There is room again at the end, and W&B's file has a hole all the same. In this process."""
    session, place, core = open_session(tmp_path, Tracking(wandb=True, mode="offline", folder=mounted("size=2m")))
    session.open("offline", {}, lambda: None)
    (place.files / "fill").write_bytes(b"0" * (shutil.disk_usage(place.files).free - 4096))
    with pytest.raises(OSError, match="4096 bytes are left on the disk"):
        place.refuse_full_disk()
    for step in range(1, 400):
        session.log({"step": step, "text": "y" * 300}, {"text": "step"}, step=step, at=1.0)
    wait_until(lambda: shutil.disk_usage(place.files).free == 0)
    time.sleep(1.0)
    (place.files / "fill").unlink()
    session.finish(0)
    with pytest.raises(SessionLostError, match="did not write the end of the run"):
        session.wait_until_written()
    core.stop()


def open_session(folder: Path, tracking: Tracking, say=print) -> tuple[Session, WandbDir, WandbCore]:
    """A session that is not open yet, of a run in the folder; W&B is in this process."""
    run, core = Folder(str(folder / "run")), WandbCore(folder)
    run.make()
    place = WandbDir(run, "run", tracking)
    place.make()
    return Session(core, tracking, resolve_identity(run, ("x",), given="x"), place, say), place, core


def test_a_process_that_cannot_be_started(home, tracked, reference, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    experiment = tracked(mode="offline")
    train_within_bound(experiment)
    assert_unchanged(experiment, reference)
    [warning] = warnings_of(experiment)
    assert "its process cannot be started" in warning


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_a_background_process_of_wandb_that_is_killed(server, tracked, monkeypatch, mode):
    experiment = tracked({"training": {"epochs": 30, "pictures_every": None}}, mode=mode, finish_timeout_s=30.0)
    killed: list[int] = []
    notify = MirrorHandle.notify

    def kill_core(self: MirrorHandle) -> None:
        if not killed and "W&B: " in experiment.folder.read("train.log").decode():
            assert self.process is not None
            killed.extend(kill_wandb_core(self.process.pid))
        if not killed:
            time.sleep(0.05)  # let it come up
        notify(self)

    monkeypatch.setattr(MirrorHandle, "notify", kill_core)
    train(experiment)
    assert killed
    [warning] = warnings_of(experiment)
    assert "W&B was lost" in warning and f"goes on {mode}" in warning
    rows = rows_of(experiment)
    if mode == "online":
        assert_same_rows(run_of(server, experiment).history, rows)
    else:
        assert_same_rows([row for segment in segments_of(experiment) for row in segment.rows], rows)


def kill_wandb_core(mirror: int) -> list[int]:
    """Kill the mirror's wandb-core."""
    cores = [child for child in psutil.Process(mirror).children(recursive=True) if "wandb-core" in child.name()]
    for core in cores:
        os.kill(core.pid, signal.SIGKILL)
    return [core.pid for core in cores]


def test_a_value_that_wandb_does_not_take_is_skipped_and_named(home, tmp_path, monkeypatch):
    """In this process, whose W&B is then torn down."""
    said: list[str] = []
    session, place, core = open_session(tmp_path, Tracking(wandb=True, mode="offline"), said.append)
    session.open("offline", {}, lambda: None)
    for step in (1, 2):
        values = {"step": step, "good": 0.5, "bad": object(), "nan": float("nan")}
        session.log(values, {"good": "step"}, step=step, at=float(step))
    session.finish(0)
    session.wait_until_written()
    core.stop()
    [warning] = said
    assert "'bad'" in warning
    [file] = place.files.glob("offline-run-*/run-*.wandb")
    assert [(row["_step"], row["good"], "bad" in row) for row in load_segment(file).rows] == [
        (1, 0.5, False),
        (2, 0.5, False),
    ]

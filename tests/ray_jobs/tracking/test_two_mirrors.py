"""One run and two processes that would mirror it to W&B: they take turns, and nothing comes twice."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ray_jobs.runs.training import train
from ray_jobs.tracking.mirror_handle import MirrorHandle
from tests.ray_jobs.tracking.conftest import assert_same_rows, rows_of, segments_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
OFFLINE = ("--mode", "offline")
WITHOUT_LOCKS = """
import errno, fcntl, os, sys
def flock(*arguments):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
fcntl.flock = flock
from ray_jobs.tracking.mirror_process_main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def run(home, tracked):
    """A run that is recorded, and of which W&B knows nothing yet."""
    experiment = tracked(wandb=False, mode="offline", finish_timeout_s=60.0)
    train(experiment)
    return experiment


def segments_there(experiment) -> int:
    return len(list(Path(experiment.folder.full("wandb")).glob("offline-run-*")))


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def process_of(mirror: MirrorHandle) -> psutil.Process:
    assert mirror._process is not None
    return psutil.Process(mirror._process.pid)


def has_come_to_the_lock(mirror: MirrorHandle) -> bool:
    return any(file.path.endswith("/.session") for file in process_of(mirror).open_files())


def test_the_second_mirror_waits_and_finds_nothing_left_to_send(run):
    said: list[str] = []
    first = MirrorHandle(run.folder, run.tracking, lambda text, **_: said.append(text), options=OFFLINE)
    wait_until(lambda: segments_there(run))
    second = MirrorHandle(run.folder, run.tracking, lambda text, **_: said.append(text), options=OFFLINE)
    second.close()  # its run has ended too; it still waits for its turn
    wait_until(lambda: has_come_to_the_lock(second))
    first.notify()
    assert process_of(second).status() != psutil.STATUS_ZOMBIE and segments_there(run) == 1
    assert first.finish() == 0
    assert second.finish() == 0
    rows = [row for segment in segments_of(run) for row in segment.rows]
    assert_same_rows(rows, rows_of(run))
    assert len({segment.run_id for segment in segments_of(run)}) == 1
    assert len(said) == 2 and all(text.startswith("W&B: offline in ") for text in said)


def test_sync_does_not_wait_but_says_so(run):
    said: list[str] = []
    mirror = MirrorHandle(run.folder, run.tracking, lambda text, **_: None, options=OFFLINE)
    wait_until(lambda: segments_there(run))
    sync = MirrorHandle(run.folder, run.tracking, lambda text, **_: said.append(text), options=("--sync",))
    assert sync.finish() == 1
    assert said == [f"{run.folder} is being mirrored to W&B by another process; wait for its end"]
    assert mirror.finish() == 0 and segments_there(run) == 1


def test_a_folder_that_takes_no_locks_is_named(run):
    command = [sys.executable, "-c", WITHOUT_LOCKS, run.folder.path, *OFFLINE]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1
    assert json.loads(answer.stdout) == {
        "warning": f"W&B is off: its folder {run.folder}/wandb takes no locks ([Errno 95] Operation not supported); "
        "give tracking.folder one on a local disk; the record on disk is complete all the same, and `quintet sync` "
        "sends what is lacking"
    }

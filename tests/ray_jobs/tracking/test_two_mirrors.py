"""One run and two processes that would mirror it to W&B: they take turns, and nothing comes twice."""

from contextlib import closing
from pathlib import Path

import psutil
import pytest

from ray_jobs.runs.training import train
from ray_jobs.tracking.mirror_handle import MirrorHandle
from ray_jobs.tracking.tracking_process import Tracker
from tests.ray_jobs.tracking.conftest import assert_same_rows, rows_of, segments_of, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
WITHOUT_LOCKS = """
import errno, fcntl, os
def flock(*arguments):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
fcntl.flock = flock
"""


@pytest.fixture
def run(home, tracked):
    """A run that is recorded, and of which W&B knows nothing yet."""
    experiment = tracked(wandb=False, mode="offline", finish_timeout_s=60.0)
    train(experiment)
    return experiment


@pytest.fixture
def other_tracker():
    """The tracking of another driver."""
    with closing(Tracker()) as tracker:
        yield tracker


def segments_there(experiment) -> int:
    return len(list(Path(experiment.folder.full("wandb")).glob("offline-run-*")))


def has_come_to_the_lock(mirror: MirrorHandle) -> bool:
    assert mirror.process is not None
    return any(file.path.endswith("/.session") for file in psutil.Process(mirror.process.pid).open_files())


def test_the_second_mirror_waits_and_finds_nothing_left_to_send(run, tracker, other_tracker):
    said: list[str] = []
    first = MirrorHandle(tracker, run.folder, run.tracking, lambda text, **_: said.append(text))
    wait_until(lambda: segments_there(run))
    second = MirrorHandle(other_tracker, run.folder, run.tracking, lambda text, **_: said.append(text))
    second.close()  # its run has ended too; it still waits for its turn
    wait_until(lambda: has_come_to_the_lock(second))
    first.notify()
    assert (
        second.process
        and psutil.Process(second.process.pid).status() != psutil.STATUS_ZOMBIE
        and segments_there(run) == 1
    )
    assert first.finish() == 0
    assert second.finish() == 0
    rows = [row for segment in segments_of(run) for row in segment.rows]
    assert_same_rows(rows, rows_of(run))
    assert len({segment.run_id for segment in segments_of(run)}) == 1
    assert len(said) == 2 and all(text.startswith("W&B: offline in ") for text in said)


def test_sync_does_not_wait_but_says_so(run, tracker, other_tracker):
    said: list[str] = []
    mirror = MirrorHandle(tracker, run.folder, run.tracking, lambda text, **_: None)
    wait_until(lambda: segments_there(run))
    sync = MirrorHandle(
        other_tracker, run.folder, run.tracking, lambda text, **_: said.append(text), mode="online", is_sync=True
    )
    assert sync.finish() == 1
    assert said == [f"{run.folder} is being mirrored to W&B by another process; wait for its end"]
    assert mirror.finish() == 0 and segments_there(run) == 1


def test_a_folder_that_takes_no_locks_is_named(run, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(WITHOUT_LOCKS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    said: list[str] = []
    with closing(Tracker()) as tracker:
        assert MirrorHandle(tracker, run.folder, run.tracking, lambda text, **_: said.append(text)).finish() == 1
    assert said == [
        f"W&B is off: its folder {run.folder}/wandb takes no locks ([Errno 95] Operation not supported); "
        "give tracking.folder one on a local disk; the record on disk is complete all the same, and `quintet sync` "
        "sends what is lacking"
    ]

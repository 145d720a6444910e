"""The lock on a run's folder: one holder at a time, and none after its process has gone."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder import run_lock
from ray_jobs.run_folder.run_lock import LOCK, find_holder, locked

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys, time
from ray_jobs.run_folder.run_lock import locked
from data_pipelines.storage.folder import Folder
with locked(Folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """A real process that holds the lock of `tmp_path`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def write_lock(folder: Path, **changes: Any) -> None:
    """A lock of this live process, with changes."""
    identity = {"host": socket.gethostname(), "pid": os.getpid(), "created": run_lock._started(os.getpid())}
    (folder / LOCK).write_text(json.dumps({**identity, "since": "2024-01-01 10:00:00", **changes}))


def test_a_second_process_is_refused_with_the_holder(tmp_path, holder):
    with pytest.raises(ValueError) as caught, locked(Folder(str(tmp_path))):
        pass
    message = str(caught.value)
    assert f"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()} since " in message
    assert "tracking.run_name" in message and str(tmp_path / LOCK) in message
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == holder.pid


def test_finding_the_holder_does_not_take_the_lock(tmp_path, holder):
    found = find_holder(Folder(str(tmp_path)))
    assert found is not None and (found["pid"], found["host"]) == (holder.pid, socket.gethostname())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert find_holder(Folder(str(tmp_path))) is None and (tmp_path / LOCK).exists()
    assert find_holder(Folder(str(tmp_path / "empty"))) is None


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with locked(Folder(str(tmp_path))):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_the_lock_of_a_process_that_ended_well_is_gone(tmp_path, holder):
    holder.send_signal(signal.SIGINT)
    holder.wait()
    assert not (tmp_path / LOCK).exists()


def test_a_reused_process_id_is_no_holder(tmp_path):
    write_lock(tmp_path, created=run_lock._started(os.getpid()) - 1000)
    with locked(Folder(str(tmp_path))):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the start of a process is told by the clock")
def test_a_clock_that_is_set_makes_no_holder_look_gone(tmp_path, monkeypatch):
    folder = Folder(str(tmp_path))
    with locked(folder):
        born = psutil.Process().create_time()
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: born + 3600)
        with pytest.raises(ValueError, match="is in use by process"), locked(folder):
            pass


def test_the_same_process_twice_is_refused(tmp_path):
    folder = Folder(str(tmp_path))
    with locked(folder), pytest.raises(ValueError, match=f"in use by process {os.getpid()} "), locked(folder):
        pass


def test_the_lock_of_another_machine_is_not_stolen(tmp_path):
    write_lock(tmp_path, host="another-machine", pid=2**22 + 1)
    before = (tmp_path / LOCK).read_bytes()
    with pytest.raises(ValueError, match="on another-machine since 2024-01-01 10:00:00"), locked(Folder(str(tmp_path))):
        pass
    assert (tmp_path / LOCK).read_bytes() == before


@pytest.mark.parametrize("content", ["", '{"host": "a', "\x00\x00"])
def test_a_lock_torn_by_a_kill_is_taken_over(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    with locked(Folder(str(tmp_path))):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_an_error_inside_releases_the_lock(tmp_path):
    folder = Folder(str(tmp_path))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="inside"), locked(folder):
            raise RuntimeError("inside")
        assert not (tmp_path / LOCK).exists()


def test_two_folders_have_two_locks(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with locked(Folder(str(tmp_path / "a"))), locked(Folder(str(tmp_path / "b"))):
        assert (tmp_path / "a" / LOCK).exists() and (tmp_path / "b" / LOCK).exists()


def count_holders(folder: Folder, monkeypatch, step: str) -> int:
    """Let a second contender try to enter, and stay, while the first is inside the function `step` of the lock."""
    original = getattr(run_lock, step)
    with ExitStack() as stack:
        entered: list[str] = []

        def enter(name: str) -> None:
            with suppress(ValueError):
                stack.enter_context(locked(folder))
                entered.append(name)

        def interleaved(*arguments: Any) -> Any:
            monkeypatch.setattr(run_lock, step, original)
            answer = original(*arguments)
            enter("second")
            return answer

        monkeypatch.setattr(run_lock, step, interleaved)
        enter("first")
        return len(entered)


def test_a_lock_being_written_is_not_taken_for_a_torn_one(tmp_path, monkeypatch):
    assert count_holders(Folder(str(tmp_path)), monkeypatch, "_identity") == 1


def test_of_two_that_find_the_same_stale_lock_one_enters(tmp_path, monkeypatch):
    write_lock(tmp_path, created=0.0)
    assert count_holders(Folder(str(tmp_path)), monkeypatch, "_is_gone") == 1

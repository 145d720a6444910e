"""The lock on a run's folder: one holder at a time, and none after its process has gone."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from data_pipelines.storage import lease, lease_holder
from data_pipelines.storage.folder import Folder
from ray_jobs.exit_codes import FAILED
from ray_jobs.run_folder.run_lock import LOCK, find_holder, locked

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys, time
from data_pipelines.storage import lease, lease_holder
from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.run_lock import locked
lease.BEAT_S, lease.LOOK_S = 0.1, 0.05
if sys.argv[2]:
    lease_holder._find_machine = lambda: sys.argv[2]
with locked(Folder(sys.argv[1])):
    print("held", flush=True)
    while True:
        time.sleep(0.02)
        if sys.argv[2]:
            print("writes", flush=True)
"""


def start_holder(folder: Path, machine: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder), machine]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def holder(tmp_path: Path):
    """A real process that holds the lock of `tmp_path`."""
    process = start_holder(tmp_path, "")
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def holder_elsewhere(tmp_path: Path, monkeypatch):
    """One that tells a machine of its own; this process waits for a second."""
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    monkeypatch.setattr(lease, "LOOK_S", 0.05)
    process = start_holder(tmp_path, "boot-2 pid:[1]")
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_with_the_holder(tmp_path, holder):
    with pytest.raises(ValueError) as caught, locked(Folder(str(tmp_path))):
        pass
    found = json.loads((tmp_path / LOCK).read_text())
    assert found["pid"] == holder.pid
    assert str(caught.value) == (
        f"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()} since {found['since']}; wait for it, "
        f"or give this run another tracking.run_name (if that process is gone, delete {tmp_path}/.lock)"
    )


def test_finding_the_holder_does_not_take_the_lock(tmp_path, holder):
    found = find_holder(Folder(str(tmp_path)))
    assert found is not None and (found["pid"], found["host"]) == (holder.pid, socket.gethostname())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert find_holder(Folder(str(tmp_path))) is None and (tmp_path / LOCK).exists()
    assert find_holder(Folder(str(tmp_path / "empty"))) is None


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder, caplog):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with locked(Folder(str(tmp_path))):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists() and caplog.text == ""


def test_the_lock_of_a_process_killed_elsewhere_is_taken_over(tmp_path, holder_elsewhere, caplog):
    with pytest.raises(ValueError, match="is in use by process"), locked(Folder(str(tmp_path))):
        pass
    holder_elsewhere.kill()
    with locked(Folder(str(tmp_path))):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert "is taken over" in caplog.text


def test_a_suspended_holder_ends_when_it_wakes_up(tmp_path, holder_elsewhere):
    holder_elsewhere.send_signal(signal.SIGSTOP)
    with locked(Folder(str(tmp_path))):
        holder_elsewhere.send_signal(signal.SIGCONT)
        _, error = holder_elsewhere.communicate(timeout=20)
        found = json.loads((tmp_path / LOCK).read_text())
        assert found["pid"] == os.getpid()
    assert holder_elsewhere.returncode == FAILED
    taker = f"process {os.getpid()} on {socket.gethostname()} since {found['since']}"
    assert error == (
        f"the lock of {tmp_path} was taken over by {taker}; this process ends at once and saves nothing more, so that "
        "never two write there\n"
    )


def test_a_holder_whose_lock_is_deleted_ends(tmp_path, holder):
    (tmp_path / LOCK).unlink()
    _, error = holder.communicate(timeout=20)
    assert holder.returncode == FAILED
    assert f"the lock of {tmp_path} was deleted; this process ends at once" in error


def test_the_lock_of_a_process_that_ended_well_is_gone(tmp_path, holder):
    holder.send_signal(signal.SIGINT)
    holder.communicate()
    assert not (tmp_path / LOCK).exists()


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


def test_the_lock_of_version_0_1_0_elsewhere_is_not_stolen(tmp_path):
    old = {"host": "another-machine", "pid": 2**22 + 1, "created": 5.0, "since": "2024-01-01 10:00:00"}
    (tmp_path / LOCK).write_text(json.dumps(old))
    with pytest.raises(ValueError, match="on another-machine since 2024-01-01 10:00:00"), locked(Folder(str(tmp_path))):
        pass
    assert json.loads((tmp_path / LOCK).read_text()) == old
    holder = lease_holder.parse_holder((tmp_path / LOCK).read_bytes())
    assert holder is not None and holder.is_alive() is True


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

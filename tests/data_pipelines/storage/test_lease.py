"""A lease on a folder: one holder, whatever machine it is on, and none after it has gone."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from data_pipelines.storage import lease, lease_holder, lease_mark
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.lease import HeldError, find_leaseholder, leased

ROOT = Path(__file__).resolve().parents[3]
NAME = ".lock"
BEAT_S = 0.1
POD = {"host": "pod-one", "pid": 7, "since": "2024-01-01 10:00:00", "created": 5.0, "machine": "boot-1 pid:[1]"}
"""A process of another machine."""
FORK = """
import os, sys
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.lease import leased
parent = os.getpid()
with leased(Folder(sys.argv[1]), ".lock", print):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print(os.listdir(sys.argv[1]))
if os.getpid() == parent:
    print(os.listdir(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Heartbeats and waits of a fraction of a second; nothing is known of any process."""
    monkeypatch.setattr(lease, "BEAT_S", BEAT_S)
    monkeypatch.setattr(lease, "LEASE_S", 0.6)
    monkeypatch.setattr(lease, "LOOK_S", 0.05)
    monkeypatch.setattr(lease, "_gone", set())
    monkeypatch.setattr(lease_mark, "SETTLE_S", 0.1)


@pytest.fixture(params=["local", "store"])
def folder(request, tmp_path: Path, serve_mock) -> Folder:
    """A folder on a local disk, and one on a file system that takes only plain writes, as object stores do."""
    serve_mock(tmp_path)
    folder = Folder(str(tmp_path / "run") if request.param == "local" else "mock://run")
    folder.make()
    return folder


@pytest.fixture
def move(monkeypatch) -> Callable[[str], None]:
    """Let this process be on another machine from now on."""

    def to(machine: str) -> None:
        monkeypatch.setattr(lease_holder, "_find_machine", lambda: machine)

    return to


def ignore(words: str) -> None:
    pass


def hold(folder: Folder, on_lost: Callable[[str], object] = ignore):
    return leased(folder, NAME, on_lost)


def write_lease(folder: Folder, **changes: Any) -> bytes:
    """Write the lease of a process that gives no sign of life."""
    content = json.dumps({**POD, "token": "a" * 32, "beat": "000000000003", **changes}).encode()
    folder.write(NAME, content)
    return content


def wait_for(claim: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.02)


def find_beat(folder: Folder) -> str:
    """The count of heartbeats; empty while the stand-in of an object store, which is a file, is being written."""
    try:
        return folder.read_json(NAME)["beat"]
    except ValueError:
        return ""


def refusal_of(folder: Folder) -> str:
    """What a second holder is told; names nobody while the stand-in of an object store is being written."""
    with pytest.raises(HeldError) as caught, hold(folder):
        pass
    return str(caught.value)


def test_a_holder_elsewhere_that_lives_is_not_robbed(folder, move, caplog):
    with hold(folder):
        move("boot-2 pid:[1]")
        wait_for(lambda: f"is in use by process {os.getpid()} on " in refusal_of(folder))
        assert find_leaseholder(folder, NAME) is not None
    assert find_leaseholder(folder, NAME) is None
    assert "waiting up to 0.6 s to see whether that is still alive" in caplog.text and "taken over" not in caplog.text


def test_a_holder_elsewhere_without_heartbeats_is_followed(folder, caplog):
    write_lease(folder)
    begun = time.monotonic()
    with hold(folder):
        assert time.monotonic() - begun > 0.6
        assert folder.read_json(NAME)["pid"] == os.getpid()
    assert [record.message for record in caplog.records] == [
        f"{folder} is held by process 7 on pod-one since 2024-01-01 10:00:00; waiting up to 0.6 s to see whether that "
        "is still alive",
        f"{folder} is taken over: process 7 on pod-one since 2024-01-01 10:00:00 gave no sign of life for 0.6 s",
    ]


def test_a_process_known_to_be_gone_is_watched_once(folder, caplog):
    for token in ("a", "b"):
        write_lease(folder, token=token * 32)
        with hold(folder):
            pass
    assert caplog.text.count("waiting up to") == 1


def test_one_host_name_and_process_id_are_no_proof(folder, caplog):
    mine = {"host": lease_holder.socket.gethostname(), "pid": os.getpid(), "created": 0.0}
    content = write_lease(folder, **mine)
    renewed = content.replace(b"000000000003", b"000000000004")
    timer = threading.Timer(0.2, folder.write, (NAME, renewed))
    timer.start()
    with pytest.raises(HeldError), hold(folder):
        pass
    timer.join()
    assert folder.read(NAME) == renewed


def test_the_clock_of_no_machine_is_looked_at(folder, move, monkeypatch):
    with hold(folder):
        move("boot-2 pid:[1]")
        monkeypatch.setattr(time, "time", lambda: 4e9)
        with pytest.raises(HeldError), hold(folder):
            pass


@pytest.mark.parametrize("content", [b"", b'{"host": "a', b"\0\0", b"[]", b"{}"])
def test_a_torn_lease_counts_until_it_was_watched(folder, content, caplog):
    folder.write(NAME, content)
    with hold(folder):
        assert folder.read_json(NAME)["pid"] == os.getpid()
    assert "is held by a process that has not written its name; waiting" in caplog.text


def test_a_lease_that_is_released_while_watched_is_taken(folder):
    write_lease(folder)
    timer = threading.Timer(0.2, folder.delete, (NAME,))
    timer.start()
    with hold(folder):
        pass
    timer.join()


def test_of_several_that_wait_for_one_that_is_gone_one_enters(folder):
    write_lease(folder)
    entered: list[int] = []
    all_tried = threading.Barrier(5)

    def enter(number: int) -> None:
        with ExitStack() as stack:
            with suppress(HeldError):
                stack.enter_context(hold(folder))
                entered.append(number)
            all_tried.wait(30)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    all_tried.wait(30)
    for thread in threads:
        thread.join()
    assert len(entered) == 1 and not folder.exists(NAME)


def test_a_holder_that_comes_back_at_the_last_moment_stays(folder):
    stale = write_lease(folder)
    renewed = stale.replace(b"000000000003", b"000000000004")
    mark = lease_mark.find_mark(folder, NAME)
    folder.write(NAME, renewed)
    assert not mark.replace(stale, b"another's") and mark.read() == renewed
    assert mark.replace(renewed, b"another's") and mark.read() == b"another's"


def test_a_deleted_lease_is_lost(folder):
    lost: list[str] = []
    with hold(folder, lost.append):
        folder.delete(NAME)
        wait_for(lambda: lost)
    assert lost == [f"the lock of {folder} was deleted"]


def test_a_lease_that_another_took_is_lost_and_left_to_it(folder):
    lost: list[str] = []
    with hold(folder, lost.append):
        content = write_lease(folder)
        wait_for(lambda: lost)
    assert lost == [f"the lock of {folder} was taken over by process 7 on pod-one since 2024-01-01 10:00:00"]
    assert folder.read(NAME) == content


def test_a_lease_that_is_away_for_a_moment_is_not_lost(folder, monkeypatch):
    monkeypatch.setattr(lease, "LOOK_S", 1.0)
    lost: list[str] = []
    with hold(folder, lost.append):
        content = folder.read(NAME)
        folder.delete(NAME)
        time.sleep(5 * BEAT_S)
        folder.write(NAME, content)
        wait_for(lambda: folder.read(NAME) != content)
    assert lost == []


def test_a_storage_that_fails_for_a_while_loses_nothing(folder, monkeypatch, caplog):
    kind = type(lease_mark.find_mark(folder, NAME))
    renew, failures, lost = kind.renew, [], list[str]()

    def fail(*arguments: Any) -> None:
        failures.append(1)
        raise OSError(errno.ESTALE, "Stale file handle")

    with hold(folder, lost.append):
        monkeypatch.setattr(kind, "renew", fail)
        wait_for(lambda: len(failures) > 2)
        monkeypatch.setattr(kind, "renew", renew)
        before = find_beat(folder)
        wait_for(lambda: find_beat(folder) > before)
    assert lost == [] and caplog.text.count("could not be renewed, and is tried again") == 1


def test_no_hard_links_are_needed(tmp_path, monkeypatch):
    def link(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    write_lease(Folder(str(tmp_path)))
    with hold(Folder(str(tmp_path))):
        pass


def test_storage_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*arguments: Any) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch, pytest.raises(ValueError) as caught:
        patch.setattr(os, "open", refuse)
        with hold(Folder(str(tmp_path))):
            pass
    assert str(caught.value) == (
        f"{tmp_path} cannot be locked ([Errno 30] Read-only file system); it must be a folder that can be written to"
    )


def test_a_disk_without_room_keeps_no_torn_lease(tmp_path, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ValueError, match="No space left on device"), hold(Folder(str(tmp_path))):
        pass
    assert os.listdir(tmp_path) == []


def test_a_forked_child_does_not_release_the_lease(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (answer.returncode, answer.stdout) == (0, "['.lock']\n[]\n"), answer.stderr

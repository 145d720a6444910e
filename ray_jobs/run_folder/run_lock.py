"""Lock on a run's folder: two jobs never write to one run."""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from data_pipelines.storage.folder import Folder

LOCK = ".lock"


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Hold the lock of a folder inside the block. Raises ValueError naming another holder, unless its process is gone.

    A lock whose process is gone is taken over. Works on local and shared file systems; object stores have no exclusive
    creation, so nothing is locked there.
    """
    if not folder.is_local:
        yield
        return
    lock = Path(folder.full(LOCK))
    _acquire(lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def find_holder(folder: Folder) -> dict[str, Any] | None:
    """Return the holder of the lock: `host`, `pid`, `since`. None without a holder, and on storage without locks."""
    if not folder.is_local:
        return None
    try:
        holder = _parse(Path(folder.full(LOCK)).read_text())
    except OSError:
        return None
    return holder if holder and not _is_gone(holder) else None


def _acquire(lock: Path) -> None:
    for _ in range(2):
        whole = lock.with_name(f"{LOCK}-{uuid.uuid4().hex[:8]}")
        whole.write_text(json.dumps(_identity()))
        try:
            os.link(whole, lock)  # exclusive, and never seen half-written
            return
        except FileExistsError:
            _take_over(lock)
        finally:
            whole.unlink()
    raise ValueError(f"{lock.parent} is being taken by another process; try again")


def _take_over(lock: Path) -> None:
    try:
        found = lock.read_text()
    except OSError:
        return  # released just now
    holder = _parse(found)
    if holder and not _is_gone(holder):
        raise ValueError(
            f"{lock.parent} is in use by process {holder['pid']} on {holder['host']} since {holder['since']}; wait for "
            f"it, or give this run another tracking.run_name (if that process is gone, delete {lock})"
        )
    aside = lock.with_name(f"{LOCK}-{uuid.uuid4().hex[:8]}")
    try:
        lock.rename(aside)  # of several that found the stale lock one moves it
    except FileNotFoundError:
        return
    if aside.read_text() != found:  # another one has taken over in between, and this is its lock
        with suppress(FileExistsError):
            os.link(aside, lock)
    aside.unlink()


def _parse(found: str) -> dict[str, Any]:
    try:
        return json.loads(found)
    except ValueError:
        return {}  # torn by a kill while it was written


def _identity() -> dict[str, str | int | float]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "created": _started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _is_gone(holder: dict) -> bool:
    """Return whether the holder was a process of this machine that has ended; its id may have been reused."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        return abs(_started(holder["pid"]) - holder["created"]) > 1.0
    except (psutil.NoSuchProcess, FileNotFoundError):
        return True


def _started(pid: int) -> float:
    """Return when a process began, in seconds.

    On Linux it is counted from the machine's start, so that no process looks gone after the clock is set.
    """
    if not Path("/proc/self/stat").exists():
        return psutil.Process(pid).create_time()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")

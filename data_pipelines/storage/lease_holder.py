"""Holder of a lease: the process that it belongs to, and whether that process still runs."""

import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Holder:
    """Process that holds a lease, written into it as JSON."""

    host: str
    pid: int
    since: str
    """By the holder's clock; for people only."""
    created: float
    """Seconds from the machine's start to that of the process, which no setting of a clock changes; 0 if unknown."""
    machine: str = ""
    """Boot and process namespace in which `pid` has a meaning; empty where the system does not tell."""
    token: str = ""
    """Random, and new each time a lease is taken; empty in a lock of version 0.1.0, which has no heartbeats."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    @property
    def process(self) -> str:
        """Name of the process among those of all machines."""
        return f"{self.machine or self.token} {self.host} {self.pid} {self.created}"

    def write(self, beat: int) -> bytes:
        """Return the lease's content after so many heartbeats, always of the same length."""
        return json.dumps({**asdict(self), "beat": f"{beat:012d}"}).encode()

    def is_alive(self) -> bool | None:
        """Return whether the process runs; None when that cannot be told from here.

        A host's name proves nothing: containers share one, and a container that starts again gets another.
        """
        if not self.token:
            return self.host != socket.gethostname() or _runs(self.pid, self.created)
        if not self.machine or self.machine != _find_machine():
            return None
        return _runs(self.pid, self.created)


def this_process() -> Holder:
    """Return a new holder: this process."""
    pid = os.getpid()
    return Holder(
        host=socket.gethostname(),
        pid=pid,
        since=time.strftime("%Y-%m-%d %H:%M:%S"),
        created=_created(_find_stat(pid) or []),
        machine=_find_machine(),
        token=uuid.uuid4().hex,
    )


def parse_holder(content: bytes) -> Holder | None:
    """Read the holder in a lease; None when the content is torn."""
    try:
        found: dict[str, Any] = json.loads(content)
        found.pop("beat", None)
        return Holder(**found)
    except (ValueError, TypeError, AttributeError):
        return None


def _find_machine() -> str:
    """Return the boot and the process namespace of this process; empty where the system has no such names."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _runs(pid: int, created: float) -> bool:
    """Return whether a process of this machine runs; its id may have been given to another one since."""
    fields = _find_stat(pid)
    if fields is None:
        return _has_process(pid)
    return fields[0] not in ("Z", "X") and _created(fields) == created


def _has_process(pid: int) -> bool:
    """Return whether the id is in use, also by a process that is hidden from this user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _find_stat(pid: int) -> list[str] | None:
    """Return the fields of a process from its state on; None where the system does not show them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _created(fields: list[str]) -> float:
    return int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else 0.0

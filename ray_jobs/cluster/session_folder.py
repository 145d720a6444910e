"""Folder of a local Ray's sessions: short enough for its sockets, and writable for this user."""

import os
import stat
import sys
import tempfile
from pathlib import Path

VARIABLE = "RAY_TMPDIR"
"""Ray puts its sessions below it, in `ray`; without it TMPDIR counts, then /tmp."""
SHORT = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders with short paths, in the order in which they are tried."""
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103
"""Bytes of a socket's path that the system takes."""
_INSIDE = len("/session_2026-01-31_23-59-59_123456_1234567/sockets/plasma_store.99")
_ADDRESS = "ray_current_cluster"
_ADVICE = f"set {VARIABLE} to a short path of a folder that can be written"


def choose_session_folder() -> str | None:
    """Set RAY_TMPDIR where Ray's own choice would fail; returns a line that says so.

    Raises ValueError for a given RAY_TMPDIR that cannot be used, and when there is no folder that can.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if given:
        base = Path(given).absolute()
        if fault := _find_fault(base / "ray"):
            raise ValueError(f"{VARIABLE}={given}: {fault}; {_ADVICE}")
        os.environ[VARIABLE] = str(base)
        return None
    os.environ.pop(VARIABLE, None)
    folder = Path(os.environ.get("TMPDIR", "").strip() or SHORT[0]).absolute() / "ray"
    fault = _find_fault(folder)
    if fault is None:
        if os.environ.get("TMPDIR") not in (None, str(folder.parent)):  # empty or relative, which Ray takes as it is
            os.environ[VARIABLE] = str(folder.parent)
        return None
    own = _make_own_folder(fault=f"{folder}: {fault}")
    os.environ[VARIABLE] = str(own)
    return f"Ray's files go to {own}, as in {folder} they cannot be ({fault}); {VARIABLE} chooses another folder"


def short_folder() -> str:
    """Return a folder for the folders of clusters: RAY_TMPDIR if one of 30 characters fits into it, or a usual one.

    Raises ValueError when none can be written.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if given and _find_fault(Path(given).absolute() / ("x" * 30)) is None:
        return str(Path(given).absolute())
    for base in SHORT:
        if _is_writable(Path(base)):
            return base
    raise ValueError(f"Ray needs a folder with a short path, and none of {', '.join(SHORT)} can be written; {_ADVICE}")


def _find_fault(folder: Path) -> str | None:
    """Say why Ray's sessions cannot be in a folder, which Ray makes if it is not there; None when they can."""
    length, longest = len(os.fsencode(folder)), LONGEST_SOCKET - _INSIDE
    if length > longest:
        return f"its path has {length} bytes, and Ray's sockets leave {longest}"
    there = next(path for path in (folder, *folder.parents) if path.exists())
    address = folder / _ADDRESS
    if not there.is_dir():
        return f"{there} is no folder"
    if not _is_writable(there) or (address.exists() and not os.access(address, os.R_OK | os.W_OK)):
        return f"{there} cannot be written by this user"
    return None


def _make_own_folder(fault: str) -> Path:
    for base in map(Path, SHORT):
        if not _is_writable(base):
            continue
        own = base / f"ray-{os.getuid()}"
        if not own.exists():
            own.mkdir(mode=0o700)
        if _is_private(own) and _find_fault(own / "ray") is None:
            return own
        other = Path(tempfile.mkdtemp(prefix=f"{own.name}-", dir=base))  # the name is taken by somebody else
        if _find_fault(other / "ray") is None:
            return other
        other.rmdir()
    raise ValueError(f"{fault}, and none of {', '.join(SHORT)} can be written; {_ADVICE}")


def _is_private(folder: Path) -> bool:
    """Return whether nobody else can replace what is in the folder; anybody may make one in /tmp."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryDirectory(prefix=".quintet-", dir=folder):
            return True
    except OSError:
        return False

"""Home folder for libraries that need one, where the user has none or cannot write to it."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def provide_home() -> str | None:
    """Set HOME to a temporary folder, which ends with this process, unless there is one; returns a line that says so.

    Ray, for one, works out the place of its results in it as soon as it is imported. Nothing of ours is kept in it.
    """
    if not os.environ.get("HOME", "").strip():
        os.environ.pop("HOME", None)  # empty is as good as unset
    try:
        Path.home()
        return None
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="quintet-home-")
    atexit.register(_remove, folder, os.getpid())
    os.environ["HOME"] = folder
    return f"no home folder is known; libraries get {folder}, which is removed at the end"


def _remove(folder: str, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)

"""The token that a Ray cluster asks for: where it is kept, and when it is shown."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

TOKEN = "RAY_AUTH_TOKEN"
MODE = "RAY_AUTH_MODE"
STATUS_TIMEOUT_S = 60.0


def find_token() -> tuple[str, str] | None:
    """Find the token of a cluster that others started, and its origin, in Ray's order; None when there is none."""
    if token := os.environ.get(TOKEN, "").strip():
        return token, TOKEN
    named = os.environ.get(f"{TOKEN}_PATH")
    path = Path(os.path.expanduser(named or "~/.ray/auth_token"))  # without a home folder it stays as it is
    if path.is_file() and (token := path.read_text().strip()):
        return token, str(path)
    if named:
        raise ValueError(f"{TOKEN}_PATH={named} is no file with a token; correct it, or unset it")
    return None


def use_token() -> None:
    """Let Ray show the token that is here, if there is one, to the cluster in RAY_ADDRESS if that asks for one.

    RAY_AUTH_MODE, if given, decides. `ray start --head` asks for a token as soon as its file exists, but a driver shows
    one in the mode `token` alone; in that mode it refuses a cluster that has none, and both would wait for ever.
    """
    if not os.environ.get(MODE, "").strip() and find_token() is not None:
        os.environ[MODE] = "disabled" if _is_open() else "token"


def _is_open() -> bool:
    """Return whether the cluster answers `ray status` without a token."""
    command, environment = [sys.executable, find_ray(), "status"], {**os.environ, MODE: "disabled"}
    try:
        return not subprocess.run(command, env=environment, capture_output=True, timeout=STATUS_TIMEOUT_S).returncode
    except subprocess.TimeoutExpired:
        return False


def find_ray() -> str:
    """Return the path of Ray's command. Raises RuntimeError when it is not installed."""
    found = shutil.which("ray", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise RuntimeError("the command `ray` is not installed beside this Python; pip install 'ray[default]'")
    return found


def provide_token() -> None:
    """Make the token of a cluster of this process, which Ray would keep in the home folder, if it cannot be kept there.

    One in the home folder, or named in the environment, stays the one that counts.
    """
    named = any(os.environ.get(name) for name in (TOKEN, f"{TOKEN}_PATH"))
    folder = Path.home() / ".ray"
    if named or (folder / "auth_token").is_file():
        return
    there = folder if folder.is_dir() else folder.parent
    if not os.access(there, os.W_OK | os.X_OK):
        os.environ[TOKEN] = secrets.token_hex(32)

"""Processes that use wandb in a clean environment, with everything that they leave under one folder."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

KEY = "local-" + "0123456789" * 4


def wandb_environment(folder: Path, base_url: str = "http://127.0.0.1:9", key: str = KEY) -> dict[str, str]:
    """Environment variables: wandb keeps all under `folder` and knows only the server at `base_url`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    folders = {f"WANDB_{name}_DIR": str(folder / name.lower()) for name in ("CACHE", "DATA", "CONFIG", "ARTIFACT")}
    for path in folders.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    # The error reports of wandb itself would leave this machine.
    quiet = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
    server = {"WANDB_BASE_URL": base_url, "WANDB_API_KEY": key}
    return {**kept, **folders, **quiet, **server, "WANDB_DIR": str(folder), "HOME": str(folder)}


def run_script(script: str, environment: dict[str, str], *, timeout: float = 60.0) -> str:
    """Run Python source in a process of its own; returns its output.

    Raises:
        AssertionError: it failed; the message is all that it wrote.
    """
    return run_command([sys.executable, "-c", textwrap.dedent(script)], environment, timeout=timeout)


def sync(folders: list[Path], environment: dict[str, str], *options: str, timeout: float = 60.0) -> str:
    """`wandb sync` of run folders, one command for all; returns its output."""
    command = [sys.executable, "-m", "wandb", "sync", *options, *map(str, folders)]
    return run_command(command, environment, timeout=timeout)


def run_command(command: list[str], environment: dict[str, str], *, timeout: float) -> str:
    """As `run_script`, for any command."""
    done = subprocess.run(
        command, env=environment, cwd=environment["WANDB_DIR"], capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr

"""Environment that a run was made in: commit, versions, command, machine; never a secret."""

import platform
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from ray_jobs.cluster.secret_scan import hide_secrets

ROOT = Path(__file__).resolve().parent.parent


def describe_software() -> dict[str, Any]:
    """Return the commit and the versions that shape a result."""
    versions = {name.lower(): version for name, version in installed_packages().items()}
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "python": platform.python_version(),
        **{name: versions.get(name) for name in ("ray", "torch", "numpy", "pyarrow", "wandb")},
    }


def describe_environment(seed: int) -> dict[str, Any]:
    """Return plain data for `environment.json`."""
    commit = _git("rev-parse", "HEAD")
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "command": shlex.join(["python", "-m", "ray_jobs", *hide_secrets(sys.argv[1:])]),
        "seed": seed,
        "git_commit": commit,
        "git_is_clean": commit and not _git("status", "--porcelain"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": installed_packages(),
    }


def installed_packages() -> dict[str, str]:
    """Return versions by name, in alphabetical order; what an installation has left half behind is left out.

    Of several with one name the first on the path counts, which is the one that is imported.
    """
    found: dict[str, str] = {}
    for item in distributions():
        with suppress(Exception):  # a broken one raises whatever its files lead to
            name, version = item.metadata["Name"], item.metadata["Version"]
            if name and version and name.lower() not in map(str.lower, found):
                found[name] = version
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _git(*arguments: str) -> str | None:
    """Return git's answer about this source tree; None when it is no checkout."""
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", "-C", ROOT, *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None

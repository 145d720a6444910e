"""The `check` verb: what this machine has, and what a run would do here."""

import platform
import shutil
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from data_pipelines.storage.folder import Folder
from ray_jobs.settings.experiment import Experiment, Storage
from ray_jobs.settings.tracking import Tracking


def check(experiment: Experiment | None) -> tuple[str, dict[str, Any]]:
    """Text for people, and the same as plain data. Starts no Ray; makes the storage folder if it is not there.

    Without an experiment the defaults are looked at, with W&B on.
    """
    storage = experiment.storage if experiment else Storage()
    tracking = experiment.tracking if experiment else Tracking(wandb=True)
    found = {
        "versions": _versions(),
        "hardware": _describe_hardware(),
        "storage": _try_storage(storage),
        "W&B": _diagnose(tracking),
    }
    lines = [f"{section:<10}{name:<16} {value}" for section, values in found.items() for name, value in values.items()]
    return "\n".join(lines), found


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in ("ray", "torch", "pyarrow")}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def _describe_hardware() -> dict[str, str]:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "cpus": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "gpus": ", ".join(names) or "none that torch can use",
    }


def _try_storage(storage: Storage) -> dict[str, str]:
    try:
        folder = Folder(storage.path)
        folder.make()
        probe = f".probe-{uuid.uuid4().hex[:8]}"
        folder.write(probe, b"0")
        folder.delete(probe)
    except (OSError, ValueError) as error:
        return {"path": storage.path, "writable": f"no: {error}"}
    free = f"{shutil.disk_usage(Path(folder.path)).free / 2**30:.1f} GiB" if folder.is_local else "unknown"
    return {"path": str(folder), "writable": "yes", "free": free}


def _diagnose(tracking: Tracking) -> dict[str, Any]:
    from ray_jobs.tracking.wandb_check import check_wandb

    return check_wandb(tracking)

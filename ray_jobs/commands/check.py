"""The `check` verb: what this machine has, and what a run would do here."""

import argparse
import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import add_experiment, load_target
from ray_jobs.terminal import print_text

if TYPE_CHECKING:
    from data_pipelines.storage.folder import Folder
    from ray_jobs.settings.experiment import Experiment, Storage
    from ray_jobs.settings.tracking import Tracking

SUMMARY = "say what this machine has, and what a run would do"
DESCRIPTION = """Say what this machine has, and what a run would do here: versions, processors, storage, W&B's
package, key, server and mode. Starts no Ray, and makes no folder."""
EXAMPLE = "quintet check demo/flow_matching --set tracking.wandb=true"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser, is_optional=True)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print what was found."""
    if options.experiment is None and options.set:
        raise ValueError("--set changes settings of an experiment; name one: quintet check EXPERIMENT --set ...")
    text, summary = check(load_target(options) if options.experiment else None)
    print_text(text)
    return summary


def check(experiment: "Experiment | None") -> tuple[str, dict[str, Any]]:
    """Return text for people, and the same as plain data. Starts no Ray, and makes no folder.

    Without an experiment the defaults are looked at, with W&B on.
    """
    from ray_jobs.settings.experiment import Storage
    from ray_jobs.settings.tracking import Tracking

    storage = experiment.storage if experiment else Storage()
    tracking = experiment.tracking if experiment else Tracking(wandb=True)
    found = {
        "versions": _versions(),
        "hardware": _describe_hardware(),
        "storage": _try_storage(storage),
        "W&B": _diagnose(tracking),
    }
    if experiment is None:
        found["W&B"]["tracking.wandb"] = "off by default; what follows is with it on"
    lines = [f"{section:<10}{name:<16} {value}" for section, values in found.items() for name, value in values.items()]
    return "\n".join(lines), found


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in ("ray", "torch", "pyarrow")}}


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def _describe_hardware() -> dict[str, str]:
    import psutil
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "cpus": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "gpus": ", ".join(names) or "none that torch can use",
    }


def _try_storage(storage: "Storage") -> dict[str, str]:
    """Return whether the storage folder can be written, or made. A folder that is there is tried with a small file."""
    from data_pipelines.storage.folder import Folder

    try:
        folder = Folder(storage.path)
        writable = _try_folder(folder) if folder.exists() else _try_to_make(folder)
    except (OSError, ValueError) as error:
        return {"path": storage.path, "writable": f"no: {error}"}
    free = "unknown"
    if folder.is_local:
        free = f"{shutil.disk_usage(_nearest_existing(Path(folder.path))).free / 2**30:.1f} GiB"
    return {"path": str(folder), "writable": writable, "free": free}


def _try_folder(folder: "Folder") -> str:
    probe = f".probe-{uuid.uuid4().hex[:8]}"
    folder.write(probe, b"0")
    folder.delete(probe)
    return "yes"


def _try_to_make(folder: "Folder") -> str:
    if not folder.is_local:
        return "unknown: the folder is not there yet, and is made by the first run"
    parent = _nearest_existing(Path(folder.path))
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return "yes; the folder is made by the first run"
    return f"no: the folder is not there, and cannot be made in {parent}"


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _diagnose(tracking: "Tracking") -> dict[str, Any]:
    from ray_jobs.cluster.home_folder import provide_home
    from ray_jobs.tracking.wandb_environment import check_wandb

    provide_home()  # W&B looks there for its settings
    with _wandb_cache_elsewhere():
        return check_wandb(tracking)


@contextmanager
def _wandb_cache_elsewhere() -> Iterator[None]:
    """Give W&B a temporary folder for the cache that it makes as soon as it is asked anything."""
    if "WANDB_CACHE_DIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="quintet-", ignore_cleanup_errors=True) as folder:
        os.environ["WANDB_CACHE_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["WANDB_CACHE_DIR"]

"""The `sync` verb: sends what W&B lacks of finished or interrupted runs, read from their records.

The server is asked how far it is and gets the rest, so it does not matter which sessions were offline, broke off, or
were sent by `wandb sync` in the meantime, and it can be repeated.
"""

import argparse
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import add_set, load_target
from ray_jobs.settings.builtin_experiments import is_experiment

if TYPE_CHECKING:
    from data_pipelines.storage.folder import Folder
    from ray_jobs.tracking.tracking_process import Tracker

Print = Callable[[str], None]
SUMMARY = "send what W&B lacks of the runs in a folder"
DESCRIPTION = """Send what W&B lacks of a run, or of all runs in a storage folder. It can be repeated.

The runs are read from their records on disk, so it does not matter what was offline or broke off before."""
EXAMPLE = "quintet sync ~/quintet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment",
        metavar="FOLDER_OR_EXPERIMENT",
        nargs="?",
        help="a run's folder, a storage path, or the experiment whose run is sent",
    )
    add_set(parser, "change a setting of the experiment, for example storage.path=/data/quintet")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Send the runs. Raises RuntimeError when W&B did not take all of one."""
    from data_pipelines.storage.folder import Folder

    given = options.experiment
    if given is None:
        raise ValueError("sync needs a run's folder, a storage path or an experiment")
    is_folder = not is_experiment(given) or Path(given).is_dir()
    if is_folder and options.set:
        raise ValueError(f"--set changes settings of an experiment, and {given} is a folder")
    summary = sync(Folder(given) if is_folder else load_target(options).folder)
    if summary["failed"]:
        raise RuntimeError(f"W&B did not take all of {', '.join(summary['failed'])}; the same command tries again")
    return summary


def sync(root: "Folder", say: Print = print) -> dict[str, Any]:
    """Send the run in `root`, or all runs with W&B on in a storage folder, oldest first.

    Returns what was sent of which run, and the runs that failed. Raises ValueError when there is none.
    """
    from ray_jobs.tracking.tracking_process import Tracker

    sent: dict[str, dict[str, int]] = {}
    failed: list[str] = []
    with closing(Tracker()) as tracker:
        for run in find_runs(root):
            counts = send_run(run, say, tracker)
            if counts is None:
                failed.append(str(run))
            else:
                sent[str(run)] = counts
    return {"sent": sent, "failed": failed}


def find_runs(root: "Folder") -> "list[Folder]":
    """Return the runs to send. Raises ValueError when there is none."""
    from ray_jobs.runs.model_references import RUNS
    from ray_jobs.tracking.mirror_files import MIRROR_CONFIG, load_mirror_config

    if root.exists(MIRROR_CONFIG):
        return [root]
    for parent in (root / RUNS, root):
        runs = [parent / name for name in parent.names() if parent.exists(f"{name}/{MIRROR_CONFIG}")]
        if runs:
            tracked = [run for run in runs if load_mirror_config(run).tracking.wandb]
            if not tracked:
                raise ValueError(f"the runs in {parent} ran without W&B; name one of them to send it all the same")
            return sorted(tracked, key=lambda run: str(run.read_json("run.json")["started"]))
    raise ValueError(f"there is no run in {root}; give a run's folder, or the storage path that holds {RUNS}/")


def send_run(run: "Folder", say: Print, tracker: "Tracker") -> dict[str, int] | None:
    """Send one run; returns what was sent, None when W&B did not take it, which has been printed."""
    from ray_jobs.tracking.mirror_files import WandbDir, load_mirror_config
    from ray_jobs.tracking.mirror_handle import MirrorHandle

    mirror_config = load_mirror_config(run)
    name = Path(run.path).name
    place = WandbDir(run, mirror_config.run_id, mirror_config.tracking, os.environ.get("WANDB_DIR", ""))
    if place.load_ledger().is_complete:
        say(f"{name}: all of it had arrived before")
        return {"rows": 0, "panels": 0, "models": 0}
    tracking = mirror_config.tracking.for_sync()
    mirror = MirrorHandle(tracker, run, tracking, lambda text, **_: say(f"{name}: {text}"), mode="online", is_sync=True)
    code = mirror.finish()
    if code:
        return None
    say(f"{name}: sent " + ", ".join(f"{count} {what}" for what, count in mirror.sent.items()))
    return mirror.sent

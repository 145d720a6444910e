"""A run that is asked to stop saves a checkpoint and ends; the same command goes on with it."""

import time

from data_pipelines.storage.folder import Folder

STOP = "stop.json"
"""In the run's folder while a stop is asked for; rank 0 looks for it at every report."""


def request_stop(folder: Folder, who: str) -> None:
    """Ask the training that runs in `folder` to stop."""
    folder.write_json(STOP, {"who": who, "time": time.time()})


def find_request(folder: Folder) -> str | None:
    """Who asked, or None."""
    return folder.read_json(STOP)["who"] if folder.exists(STOP) else None


def withdraw_request(folder: Folder) -> None:
    """What was asked of an earlier start does not hold for the next."""
    folder.delete(STOP)

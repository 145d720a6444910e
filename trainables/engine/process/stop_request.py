"""Stop requests: a run that is asked to stop saves a checkpoint and ends; the same command resumes it."""

import time

from data_pipelines.storage.folder import Folder

STOP = "stop.json"
"""File in the run's folder while a stop is requested; rank 0 checks for it at every report."""


def request_stop(folder: Folder, who: str) -> None:
    """Ask the training that runs in `folder` to stop."""
    folder.write_json(STOP, {"who": who, "time": time.time()})


def find_request(folder: Folder) -> str | None:
    """Return the author of the stop request, or None when there is no request."""
    return folder.read_json(STOP)["who"] if folder.exists(STOP) else None


def withdraw_request(folder: Folder) -> None:
    """Delete a stop request; a request to an earlier start does not apply to the next."""
    folder.delete(STOP)

"""Lock on a run's folder: two jobs never write to one run."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from data_pipelines.storage.folder import Folder
from data_pipelines.storage.lease import HeldError, find_leaseholder, leased
from data_pipelines.storage.uri import join_uri
from ray_jobs.exit_codes import FAILED

LOCK = ".lock"

logger = logging.getLogger(__name__)


def end_process(words: str) -> None:
    """End this process at once, as a kill would: a stop on request writes a checkpoint into what is another's now."""
    logger.error("%s; this process ends at once and saves nothing more, so that never two write there", words)
    os._exit(FAILED)


@contextmanager
def locked(folder: Folder, on_lost: Callable[[str], object] = end_process) -> Iterator[None]:
    """Hold the lock of a folder inside the block. Raises ValueError naming another holder, unless its process is gone.

    A lock whose process is gone is taken over: at once on the same machine, else after its heartbeats have been missing
    for `lease.LEASE_S`. A process that has lost its lock, as it was suspended for longer or the lock was deleted, finds
    that out at its next heartbeat and calls `on_lost`, which by default ends the process.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(leased(folder, LOCK, on_lost))
        except HeldError as error:
            lock = folder.full(LOCK) if folder.is_local else join_uri(folder.uri, LOCK)
            raise ValueError(
                f"{error}; wait for it, or give this run another tracking.run_name (if that process is gone, delete "
                f"{lock})"
            ) from None
        yield


def find_holder(folder: Folder) -> dict[str, Any] | None:
    """Return the holder of the lock: `host`, `pid`, `since`. None without one, and when its process has ended here.

    A process on another machine counts as the holder, as only its heartbeats would tell.
    """
    holder = find_leaseholder(folder, LOCK)
    return asdict(holder) if holder else None

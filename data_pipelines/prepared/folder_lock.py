"""Lock of a prepared folder: one process at a time prepares it."""

import fcntl
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_pipelines.storage.folder import Folder
from data_pipelines.storage.lease import leased

_LOCK = ".lock"
_log = logging.getLogger(__name__)


@contextmanager
def only_one(folder: Folder) -> Iterator[Callable[[], None]]:
    """Hold the folder's lock inside the block; yields a check that raises ValueError once the lock is lost.

    On a local or shared disk a second process waits for the first, by a lock of the system that is never lost. On other
    storage, which has none, it is refused, by a lease: a HeldError names the process that holds it.
    """
    if not folder.is_local:
        with _leased(folder) as refuse_if_lost:
            yield refuse_if_lost
        return
    path = Path(folder.path)
    path.mkdir(parents=True, exist_ok=True)
    with (path / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            words = "%s cannot be locked there (%s); let no second command prepare it at the same time"
            _log.warning(words, folder, error.strerror)
        yield lambda: None


@contextmanager
def _leased(folder: Folder) -> Iterator[Callable[[], None]]:
    lost: list[str] = []

    def refuse_if_lost() -> None:
        if lost:
            raise ValueError(f"{lost[0]}; this process stops preparing it, and another may go on; run prepare again")

    folder.make()
    with leased(folder, _LOCK, lost.append):
        yield refuse_if_lost

"""Lease on a folder: one process holds it, renews it while it lives, and loses it when it does not."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from data_pipelines.storage.folder import Folder
from data_pipelines.storage.lease_holder import Holder, parse_holder, this_process
from data_pipelines.storage.lease_mark import Mark, find_mark

BEAT_S = 10.0
"""Seconds between two heartbeats of a holder."""
LEASE_S = 40.0
"""Seconds without a heartbeat after which a holder counts as gone: three that are missed, and a margin."""
LOOK_S = 1.0
"""Seconds between two looks at a lease that changes, or should."""
ATTEMPTS = 5

logger = logging.getLogger(__name__)
_gone: set[str] = set()
"""Processes of other machines that were watched and gave no sign of life; their other leases need no watching."""


class HeldError(ValueError):
    """Lease that belongs to another process."""


@contextmanager
def leased(folder: Folder, name: str, on_lost: Callable[[str], object]) -> Iterator[None]:
    """Hold the lease of a folder inside the block, on any storage.

    A lease whose process has ended is taken over. On the same machine the system tells whether it has. Elsewhere its
    heartbeats do: they are counted in the lease, and watched for `LEASE_S` by the clock of the one that waits, so that
    clocks are never compared. A holder that was suspended for longer than that finds within `BEAT_S` after it woke up
    that the lease is another's now, as it does when the lease was deleted. What happens then is up to `on_lost`: until
    it has stopped the work there may be two holders. A child made by fork does not hold the lease. The folder must
    exist; its file `name` holds the lease. `on_lost` is called once, in another thread, with the words of what has
    become of the lease.

    Raises:
        HeldError: Another process holds it.
        ValueError: The storage cannot be written to.
    """
    mark, holder = find_mark(folder, name), this_process()
    try:
        _acquire(mark, holder, folder)
    except OSError as error:
        raise ValueError(f"{folder} cannot be locked ({error}); it must be a folder that can be written to") from error
    heart = _Heart(mark, holder, folder, on_lost)
    try:
        heart.start()
        yield
    finally:
        if os.getpid() == holder.pid:
            heart.stop()
            _release(mark, holder, folder)


def find_leaseholder(folder: Folder, name: str) -> Holder | None:
    """Return the holder of a lease at once; None without one, and when its process is known to have ended.

    A process on another machine is taken to run, as only its heartbeats could tell.
    """
    try:
        found = find_mark(folder, name).read()
    except OSError:
        return None
    holder = parse_holder(found or b"")
    return holder if holder and holder.is_alive() is not False else None


def _acquire(mark: Mark, holder: Holder, folder: Folder) -> None:
    for _ in range(ATTEMPTS):
        if mark.create(holder.write(0)):
            return
        found = mark.read()
        if found is None:  # released just now
            continue
        found = _refuse_living(mark, found, folder)
        if mark.replace(found, holder.write(0)):
            return
    raise HeldError(f"{folder} is being taken by another process")


def _refuse_living(mark: Mark, found: bytes, folder: Folder) -> bytes:
    """Return the content that a holder has left who is gone. Raises HeldError when it is not."""
    other = parse_holder(found)
    is_alive = other.is_alive() if other else None
    if is_alive is None and not (other and other.process in _gone):
        is_alive, found = _watch(mark, found, folder)
    if is_alive:
        raise HeldError(f"{folder} is in use by {_name(found)}")
    return found


def _watch(mark: Mark, found: bytes, folder: Folder) -> tuple[bool, bytes]:
    """Watch a lease until it changes, or until it has not for `LEASE_S`.

    Returns whether somebody lives who holds it, and its content by then.
    """
    text = "%s is held by %s; waiting up to %g s to see whether that is still alive"
    logger.warning(text, folder, _name(found), LEASE_S)
    end = time.monotonic() + LEASE_S
    while time.monotonic() < end:
        time.sleep(LOOK_S)
        seen = mark.read()
        if seen is None:
            return False, found
        if seen != found:
            return True, seen
    logger.warning("%s is taken over: %s gave no sign of life for %g s", folder, _name(found), LEASE_S)
    if other := parse_holder(found):
        _gone.add(other.process)
    return False, found


def _name(content: bytes) -> str:
    return str(parse_holder(content) or "a process that has not written its name")


def _release(mark: Mark, holder: Holder, folder: Folder) -> None:
    """Delete the lease, unless it is another's by now."""
    try:
        if holder.token.encode() in (mark.read() or b""):
            mark.delete()
    except OSError as error:
        logger.warning("the lock of %s could not be deleted (%s)", folder, error)


class _Heart:
    """Thread that renews the lease, and looks whether it is still the holder's."""

    def __init__(self, mark: Mark, holder: Holder, folder: Folder, on_lost: Callable[[str], object]):
        self._mark, self._holder, self._folder, self._on_lost = mark, holder, folder, on_lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeats; one that hangs in its storage is not waited for any longer."""
        self._ended.set()
        self._thread.join(timeout=BEAT_S)

    def _run(self) -> None:
        beat, has_warned = 0, False
        while not self._ended.wait(BEAT_S):
            beat += 1
            try:
                if self._is_lost(beat):
                    break
            except OSError as error:
                if not has_warned:
                    logger.warning("the lock of %s could not be renewed, and is tried again (%s)", self._folder, error)
                has_warned = True

    def _is_lost(self, beat: int) -> bool:
        if self._renew(beat):
            return False
        # another process that was about to take the lease over may have moved it, and puts it back
        if self._ended.wait(LOOK_S) or self._renew(beat):
            return False
        found = self._mark.read()
        words = "deleted" if found is None else f"taken over by {_name(found)}"
        self._on_lost(f"the lock of {self._folder} was {words}")
        return True

    def _renew(self, beat: int) -> bool:
        token = self._holder.token.encode()
        return token in (self._mark.renew(token, self._holder.write(beat)) or b"")

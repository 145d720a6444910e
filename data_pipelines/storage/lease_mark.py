"""Mark of a lease on storage: a file that one process makes, renews and removes."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from data_pipelines.storage.folder import Folder

SETTLE_S = 1.0
"""Seconds after which a mark on an object store is read back."""


class Mark(Protocol):
    """File that says whose a lease is. All functions raise OSError when the storage fails."""

    def create(self, content: bytes) -> bool:
        """Make the mark; returns False when there is one, or when another process has made one at the same time."""
        ...

    def read(self) -> bytes | None:
        """Return the content; None without a mark."""
        ...

    def renew(self, token: bytes, content: bytes) -> bytes | None:
        """Replace the content of a mark that holds the token; returns what was found."""
        ...

    def replace(self, found: bytes, content: bytes) -> bool:
        """Take the mark over, if its content is still `found`; returns whether it has `content` now."""
        ...

    def delete(self) -> None:
        """Remove the mark, whatever its content."""
        ...


def find_mark(folder: Folder, name: str) -> Mark:
    """Return the mark of that name in a folder, whether or not it exists."""
    return _FileMark(Path(folder.full(name))) if folder.is_local else _ObjectMark(folder, name)


class _FileMark:
    """Mark on a local or shared file system: made by an exclusive open and taken over in place; needs no hard links."""

    def __init__(self, path: Path):
        self._path = path

    def create(self, content: bytes) -> bool:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            self.delete()
            raise
        return True

    def read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def renew(self, token: bytes, content: bytes) -> bytes | None:
        try:
            with self._path.open("r+b") as stream:  # one file, whatever has its name by the end
                found = stream.read()
                if token in found:
                    stream.seek(0)
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                return found
        except FileNotFoundError:
            return None

    def replace(self, found: bytes, content: bytes) -> bool:
        try:
            with self._path.open("r+b") as stream:
                with suppress(OSError):  # without this lock of the system two that try at once may both succeed
                    fcntl.flock(stream, fcntl.LOCK_EX)
                if stream.read() != found:
                    return False
                stream.seek(0)
                stream.write(content)
                stream.truncate()
                stream.flush()
                os.fsync(stream.fileno())
        except FileNotFoundError:
            return self.create(content)
        return self.read() == content

    def delete(self) -> None:
        self._path.unlink(missing_ok=True)


class _ObjectMark:
    """Mark on an object store, by plain writes: pyarrow has no exclusive ones.

    Of two that are made at the same time the later one counts, as both are read back after `SETTLE_S`. When one arrives
    even later than that, the holder finds it at its next heartbeat.
    """

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name

    def create(self, content: bytes) -> bool:
        if self.read() is not None:
            return False
        self._folder.write(self._name, content)
        time.sleep(SETTLE_S)
        return self.read() == content

    def read(self) -> bytes | None:
        try:
            return self._folder.read(self._name)
        except FileNotFoundError:
            return None

    def renew(self, token: bytes, content: bytes) -> bytes | None:
        found = self.read()
        if found is not None and token in found:
            self._folder.write(self._name, content)
        return found

    def replace(self, found: bytes, content: bytes) -> bool:
        if self.read() not in (found, None):
            return False
        self._folder.write(self._name, content)
        time.sleep(SETTLE_S)
        return self.read() == content

    def delete(self) -> None:
        with suppress(FileNotFoundError):
            self._folder.delete(self._name)

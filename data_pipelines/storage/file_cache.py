"""Cache of files of other storage on this machine's disk, shared by its processes."""

import fcntl
import hashlib
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from data_pipelines.storage.atomic_file import TEMPORARY, temporary_path
from data_pipelines.storage.folder import Folder

ParsedT = TypeVar("ParsedT")
_LOCK = ".lock"
_log = logging.getLogger(__name__)
_warned: set[Path] = set()
"""Folders of this process that could not be written to."""


class DamagedFileError(ValueError):
    """File that is not as it was written."""


@dataclass(frozen=True)
class StoredFile:
    """File on other storage, as it was written."""

    folder: Folder
    name: str
    num_bytes: int
    sha256: str

    def __str__(self) -> str:
        return str(self.folder / self.name)

    def fetch(self) -> bytes:
        """Read the file. Raises DamagedFileError when it is not as it was written, and OSError as the storage does."""
        content = self.folder.read(self.name)
        if len(content) != self.num_bytes:
            raise DamagedFileError(f"has {len(content)} bytes instead of {self.num_bytes}")
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DamagedFileError("does not match its checksum")
        return content


@dataclass(frozen=True)
class FileCache:
    """Bounded folder of files named by their SHA-256; those that were not used for longest make room for new ones.

    A file is verified by its checksum when it is fetched, and by its size when it is read. Several processes share the
    folder: each writes and removes under its lock, and a reader keeps a file that it has opened.
    """

    max_bytes: int
    path: str | None = None
    """By default a folder of this user among the temporary ones of the machine."""

    @property
    def folder(self) -> Path:
        """Folder of the cache on this machine."""
        return Path(self.path or Path(tempfile.gettempdir()) / f"quintet-cache-{os.getuid()}")

    def read(self, stored: StoredFile, parse: Callable[[pa.NativeFile, Path | None], ParsedT]) -> ParsedT:
        """Parse a file from the cache, or from its storage, which fills the cache.

        A file of the cache that cannot be parsed is removed and fetched anew, once. `parse` is called with the open
        file, and where it lies in the cache if it is read from there.

        Raises:
            DamagedFileError: The file is not as it was written.
            ValueError: The cache's folder belongs to another user.
            OSError: The storage cannot be read; FileNotFoundError when the file is gone.
        """
        self._refuse_foreign()
        cached = self.folder / stored.sha256
        file = _open(cached, stored.num_bytes)
        if file is not None:
            try:
                with file:
                    return parse(file, cached)
            except Exception as error:  # damage makes pyarrow fail in many ways, also with errors that are not its own
                _log.warning("%s, a copy of %s, is damaged (%s), and is fetched anew", cached, stored, error)
                cached.unlink(missing_ok=True)
        content = stored.fetch()
        self._keep(cached, content)
        return parse(pa.BufferReader(content), None)

    def _refuse_foreign(self) -> None:
        folder = self.folder
        if self.path is not None or not os.path.lexists(folder):
            return
        status = folder.lstat()
        if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
            raise ValueError(
                f"{folder}, the cache of prepared data, belongs to another user or is no folder; set "
                "storage.cache_path to a folder of your own, or storage.cache_gib to 0"
            )

    def _keep(self, cached: Path, content: bytes) -> None:
        """Write a file, if there is room for it at all; where that fails there is no cache, which is logged once."""
        if len(content) > self.max_bytes:
            return
        temporary = temporary_path(cached)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_foreign()
            with (self.folder / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._make_room(len(content))
                temporary.write_bytes(content)
                temporary.replace(cached)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            if self.folder not in _warned:
                _warned.add(self.folder)
                words = "the cache %s cannot be written (%s), so data are read from their storage each time"
                _log.warning(words, self.folder, error)

    def _make_room(self, num_bytes: int) -> None:
        """Remove what killed writers left, and the files that were not used for longest, until so many bytes fit."""
        found: list[tuple[int, int, Path]] = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # a damaged one that another process has just removed
                status = path.stat()
                if path.name.startswith(TEMPORARY):
                    path.unlink()
                elif path.name != _LOCK:
                    found.append((status.st_atime_ns, status.st_size, path))
        total = sum(size for _, size, _ in found) + num_bytes
        for _, size, path in sorted(found):
            if total <= self.max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def _open(cached: Path, num_bytes: int) -> pa.NativeFile | None:
    """Open a file of the cache and mark it as used, by its time of access; None without one, or of another size."""
    try:
        file = pa.OSFile(str(cached))
    except OSError:
        return None
    with suppress(OSError):  # it was removed since, which the open file does not feel
        os.utime(cached, ns=(time.time_ns(), cached.stat().st_mtime_ns))
    if file.size() == num_bytes:
        return file
    file.close()
    cached.unlink(missing_ok=True)
    return None

"""File of lines that is appended to, on any storage; read it with `record_file`."""

import os
import time
from pathlib import Path

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.record_file import PARTS, find_parts, read_record

PAUSE_S = 10.0
"""Lines that can wait are stored with the first append that comes this long after the file was last stored."""
FANOUT = 64
"""Number of small parts that are merged into one."""


class AppendFile:
    """File of lines. On storage without appending, what is added becomes parts beside it, until `close` joins them.

    A last line that an earlier process left half-written is dropped before the first append.
    """

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name
        self._parts = None if folder.is_local else _Parts(folder, name)
        self._is_begun = False
        self._waiting: list[bytes] = []
        self._stored = -PAUSE_S

    def append(self, lines: bytes, *, can_wait: bool = False) -> None:
        """Append complete lines.

        On storage without appending, lines that can wait do so for later ones or for `flush`.
        """
        if self._parts:
            self._waiting.append(lines)
            if not can_wait or time.monotonic() - self._stored >= PAUSE_S:
                self.flush()
            return
        path = Path(self._folder.full(self._name))
        if not self._is_begun:
            _join(self._folder, self._name)
            _drop_torn_line(path)
            self._is_begun = True
        with path.open("ab") as stream:
            stream.write(lines)

    def flush(self) -> None:
        """Store the lines that have waited."""
        if self._parts and self._waiting:
            self._parts.append(b"".join(self._waiting))
            self._waiting, self._stored = [], time.monotonic()

    def replace(self, content: bytes) -> None:
        """Replace the content of the file; lines that waited are dropped with it."""
        self._waiting = []
        if self._parts:
            self._parts.replace(content)
            return
        _join(self._folder, self._name)
        self._folder.write(self._name, content)

    def close(self) -> None:
        """Store what has waited, and make one file of the parts; appending again begins new parts."""
        self.flush()
        if self._parts:
            _join(self._folder, self._name)
            self._parts = _Parts(self._folder, self._name)


class _Parts:
    """Writer of the parts of a file.

    `FANOUT` small parts lie in a folder of their own, then they are merged and that folder is deleted. So every byte is
    sent twice before the parts are joined, and the requests for an append do not grow with the file.
    """

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name
        self._generation = self._offset = -1
        self._small: list[bytes] = []
        self._first = 0
        """Offset of the first small part."""

    def append(self, content: bytes) -> None:
        if self._offset < 0:
            self._begin()
        self._folder.write(f"{self._place}/{self._first:015d}.small/{self._offset:015d}", content)
        self._small.append(content)
        self._offset += len(content)
        if len(self._small) == FANOUT:
            self._folder.write(f"{self._place}/{self._first:015d}", b"".join(self._small))
            self._folder.delete(f"{self._place}/{self._first:015d}.small")
            self._small, self._first = [], self._offset

    def replace(self, content: bytes) -> None:
        """Begin a new generation, which counts from its first part on; then delete what came before."""
        self._generation = self._new_generation()
        self._folder.write(f"{self._place}/{0:015d}", content)
        for earlier in self._folder.names(self._name + PARTS):
            if earlier != str(self._generation):
                self._folder.delete(f"{self._name}{PARTS}/{earlier}")
        self._folder.delete(self._name)
        self._small, self._offset, self._first = [], len(content), len(content)

    @property
    def _place(self) -> str:
        return f"{self._name}{PARTS}/{self._generation}"

    def _begin(self) -> None:
        """Find the end of what an earlier process has stored."""
        if parts := find_parts(self._folder, self._name):
            base = self._folder.size(self._name) if parts[0].offset else 0
            self._generation, self._offset = parts[0].generation, max(base, *(part.end for part in parts))
        else:
            content = self._folder.read_if_any(self._name) or b""
            whole = whole_lines(content)
            if whole != content:
                self._folder.write(self._name, whole)
            self._generation, self._offset = self._new_generation(), len(whole)
        self._first = self._offset

    def _new_generation(self) -> int:
        """Return a number above all that there were, so that a reader never takes a new generation for an old one."""
        earlier = [int(name) for name in self._folder.names(self._name + PARTS)]
        return max([time.time_ns() // 1_000_000, *(number + 1 for number in earlier)])


def whole_lines(content: bytes) -> bytes:
    """Return the content without a last line that is incomplete."""
    return content[: content.rfind(b"\n") + 1]


def _join(folder: Folder, name: str) -> None:
    """Make one file of the parts of a file, if it has any.

    The file is stored first. The first part goes before the others, its longest copy last, as without it the file
    counts; a join that is interrupted anywhere leaves a complete file.
    """
    if parts := find_parts(folder, name):
        folder.write(name, read_record(folder, name))
        for first in [part for part in parts if part.offset == parts[0].offset][::-1]:
            folder.delete(first.name)
        folder.delete(name + PARTS)


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    whole = whole_lines(content)
    if whole != content:
        os.truncate(path, len(whole))

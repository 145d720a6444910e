"""File of lines that is appended to, on any storage."""

import os
import time
from pathlib import Path

from data_pipelines.storage.folder import Folder

PAUSE_S = 10.0
"""Lines that can wait are stored with the first append that comes this long after the file was last stored."""


class AppendFile:
    """File of lines. On storage without appending, a copy in memory is stored again completely.

    A last line that an earlier process left half-written is dropped before the first append.
    """

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name
        self._content = None if folder.is_local else (folder.read(name) if folder.exists(name) else b"")
        self._is_begun = self._is_behind = False
        self._stored = -PAUSE_S

    def append(self, lines: bytes, *, can_wait: bool = False) -> None:
        """Append complete lines.

        Where the file is stored again completely, lines that can wait do so for later ones or for `flush`.
        """
        if self._content is not None:
            self._content, self._is_behind = whole_lines(self._content) + lines, True
            if not can_wait or time.monotonic() - self._stored >= PAUSE_S:
                self.flush()
            return
        path = Path(self._folder.full(self._name))
        if not self._is_begun:
            _drop_torn_line(path)
            self._is_begun = True
        with path.open("ab") as stream:
            stream.write(lines)

    def flush(self) -> None:
        """Store the lines that have waited."""
        if self._is_behind and self._content is not None:
            self._folder.write(self._name, self._content)
            self._is_behind, self._stored = False, time.monotonic()

    def replace(self, content: bytes) -> None:
        """Replace the content of the file."""
        self._folder.write(self._name, content)
        self._content, self._is_behind = None if self._content is None else content, False


def whole_lines(content: bytes) -> bytes:
    """Return the content without a last line that is incomplete."""
    return content[: content.rfind(b"\n") + 1]


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    whole = whole_lines(content)
    if whole != content:
        os.truncate(path, len(whole))

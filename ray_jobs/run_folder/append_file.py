"""A file of lines that is added to, on any storage."""

import os
import time
from pathlib import Path

from data_pipelines.storage.folder import Folder

PAUSE_S = 10.0
"""Lines that can wait are stored at the latest with the first ones that come so long after the file was last stored."""


class AppendFile:
    """Lines that are added to. On storage without appending a local copy is stored again as a whole.

    A last line that an earlier process left half-written is dropped before the first of ours.
    """

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name
        self._content = None if folder.is_local else (folder.read(name) if folder.exists(name) else b"")
        self._is_begun = self._is_behind = False
        self._stored = -PAUSE_S

    def append(self, lines: bytes, *, can_wait: bool = False) -> None:
        """Add whole lines at the end. Where the file is stored as a whole, those that can wait may do so for others or
        for `flush`."""
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
        """Store what has waited."""
        if self._is_behind and self._content is not None:
            self._folder.write(self._name, self._content)
            self._is_behind, self._stored = False, time.monotonic()

    def replace(self, content: bytes) -> None:
        """Put other content in its place."""
        self._folder.write(self._name, content)
        self._content, self._is_behind = None if self._content is None else content, False


def whole_lines(content: bytes) -> bytes:
    """Without a last line that does not end."""
    return content[: content.rfind(b"\n") + 1]


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    whole = whole_lines(content)
    if whole != content:
        os.truncate(path, len(whole))

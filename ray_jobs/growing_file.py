"""A file of lines that is added to, on any storage."""

import os
from pathlib import Path

from trainables.storage import Folder


class GrowingFile:
    """Lines that are added to. On storage without appending a local copy is stored again as a whole.

    A last line that an earlier process left half-written is dropped before the first of ours.
    """

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name
        self._content = None if folder.is_local else (folder.read(name) if folder.exists(name) else b"")
        self._is_begun = False

    def append(self, lines: bytes) -> None:
        """Add whole lines at the end."""
        if self._content is not None:
            self._content = whole_lines(self._content) + lines
            self._folder.write(self._name, self._content)
            return
        path = Path(self._folder.full(self._name))
        if not self._is_begun:
            _drop_torn_line(path)
            self._is_begun = True
        with path.open("ab") as stream:
            stream.write(lines)

    def replace(self, content: bytes) -> None:
        """Put other content in its place."""
        self._folder.write(self._name, content)
        self._content = None if self._content is None else content


def whole_lines(content: bytes) -> bytes:
    """Without a last line that does not end."""
    return content[: content.rfind(b"\n") + 1]


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    whole = whole_lines(content)
    if whole != content:
        os.truncate(path, len(whole))

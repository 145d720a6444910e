"""A file that is added to, on any storage."""

from pathlib import Path

from trainables.storage import Folder


class GrowingFile:
    """A file that is added to. On storage without appending a local copy is stored again as a whole."""

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name
        self._content = None if folder.is_local else (folder.read(name) if folder.exists(name) else b"")

    def append(self, content: bytes) -> None:
        """Add at the end."""
        if self._content is not None:
            self._content += content
            self._folder.write(self._name, self._content)
            return
        with Path(self._folder.full(self._name)).open("ab") as stream:
            stream.write(content)

    def replace(self, content: bytes) -> None:
        """Put other content in its place."""
        self._folder.write(self._name, content)
        self._content = None if self._content is None else content

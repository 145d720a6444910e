"""Reader of a file of lines that grows: one file, and on storage without appending its parts in a folder beside it.

A part `<name>.parts/<generation>/.../<offset>` holds the bytes of the file from that offset on. The newest generation
counts. When it begins at 0 it is the complete file; otherwise it goes on after the file `<name>` itself. Of each part
counts what lies beyond the bytes that came before it, so a copy of the same bytes in two places is read once, and an
interrupted merge changes nothing.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from pyarrow import fs as pafs

from data_pipelines.storage.folder import Folder

PARTS = ".parts"
"""Ending of the name of the folder of parts."""
BLOCK_BYTES = 1 << 20
ATTEMPTS = 20


@dataclass(frozen=True)
class Part:
    """Part of a file, an object of its own."""

    name: str
    """Name in the folder that holds the file."""
    generation: int
    offset: int
    """Bytes of the file before it."""
    size: int

    @property
    def end(self) -> int:
        """Bytes of the file up to its end."""
        return self.offset + self.size


class RecordFile:
    """Reader of a file that grows, which keeps its position; works from the beginning when the file was replaced."""

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name
        self._offset, self._generation, self._inode = 0, 0, -1

    def rewind(self) -> None:
        """Make the next read start at the beginning."""
        self._offset = 0

    def lines(self) -> Iterator[bytes]:
        """Yield the complete lines since the last call, without their ends."""
        rest = b""
        for block in self.blocks():
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
        self._offset -= len(rest)

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes since the last call, in blocks.

        Raises:
            ValueError: A part is missing.
            OSError: The storage cannot be read.
        """
        for _ in range(ATTEMPTS):
            try:
                yield from self._read_on()
                return
            except FileNotFoundError:  # it was merged or joined just now
                continue
        raise OSError(f"{self._folder.full(self._name)}: its parts change faster than they can be read")

    def _read_on(self) -> Iterator[bytes]:
        parts = find_parts(self._folder, self._name)
        if parts and parts[0].generation != self._generation:
            self._generation = parts[0].generation
            if parts[0].offset == 0:
                self._offset = 0
        if not parts or parts[0].offset > 0:
            yield from self._read_base(has_parts=bool(parts))
        for part in parts:
            if part.end <= self._offset:
                continue
            if part.offset > self._offset:
                raise ValueError(
                    f"{self._folder.full(self._name)}: the part with bytes {self._offset} to {part.offset} is missing; "
                    "restore it, or resume the run, which writes its record again"
                )
            content = self._folder.read(part.name)[self._offset - part.offset :]
            self._offset += len(content)
            yield content

    def _read_base(self, *, has_parts: bool) -> Iterator[bytes]:
        path = self._folder.full(self._name)
        try:
            stream = self._folder.fs.open_input_file(path)
        except FileNotFoundError:
            return
        with stream:
            inode = os.stat(path).st_ino if self._folder.is_local else -1
            if inode != self._inode or (stream.size() < self._offset and not has_parts):
                self._inode, self._offset = inode, 0
            stream.seek(min(self._offset, stream.size()))
            while block := stream.read(BLOCK_BYTES):
                self._offset += len(block)
                yield block


def find_parts(folder: Folder, name: str) -> list[Part]:
    """Return the parts of the newest generation in the order of their bytes, by one listing."""
    selector = pafs.FileSelector(folder.full(name + PARTS), recursive=True, allow_not_found=True)
    found = []
    for info in folder.fs.get_file_info(selector):
        path = PurePosixPath(info.path).relative_to(folder.full(name + PARTS))
        if info.type == pafs.FileType.File and path.name.isdecimal():
            found.append(Part(f"{name}{PARTS}/{path}", int(path.parts[0]), int(path.name), info.size))
    newest = max((part.generation for part in found), default=0)
    return sorted((part for part in found if part.generation == newest), key=lambda part: (part.offset, -part.size))


def read_record(folder: Folder, name: str) -> bytes:
    """Read a file that grows, from its parts where it has any; empty when there is none."""
    return b"".join(RecordFile(folder, name).blocks())


def record_exists(folder: Folder, name: str) -> bool:
    """Return whether there is such a file, or a part of it."""
    return folder.exists(name) or bool(find_parts(folder, name))

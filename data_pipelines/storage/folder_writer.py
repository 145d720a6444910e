"""New folders, written file by file straight to their storage, and sealed by checksums that are computed meanwhile."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from data_pipelines.storage.atomic_file import put_in_place, sync_directory, temporary_folder
from data_pipelines.storage.checksums import MANIFEST, Fingerprint, format_manifest
from data_pipelines.storage.folder import Folder

CHUNK_BYTES = 16 * 2**20
"""Most bytes that are hashed and written at once."""
FLUSH_BYTES = 64 * 2**20
"""Most bytes that wait for their upload; pyarrow sends them beside the writing, and sets itself no bound."""


class FolderWriter:
    """Writer of the files of one folder, which counts only when it is sealed.

    Several processes may write into one folder: each has a writer of its own for the same `folder`, and one of them
    adds the `files` of the others to its own before it seals.
    """

    def __init__(self, folder: Folder):
        """Write into `folder`, which is there on a local disk."""
        self.folder = folder
        self.files: dict[str, Fingerprint] = {}
        """Size and checksum of every file so far, by name."""

    def write(self, name: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Write a new file, given in pieces of any size."""
        digest, size = hashlib.sha256(), 0
        with self._open(name) as stream:
            for piece in _cut(chunks):
                stream.write(piece)
                digest.update(piece)
                size += len(piece)
                if size % FLUSH_BYTES < len(piece):
                    stream.flush()
        self.files[name] = {"size": size, "sha256": digest.hexdigest()}

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        if not self.folder.is_local:
            with self.folder.open_output(name) as stream:
                yield cast(BinaryIO, stream)
            return
        with Path(self.folder.full(name)).open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())

    def seal(self) -> None:
        """Write the manifest of all files, which makes the folder complete."""
        content = format_manifest(self.files).encode()
        with self._open(MANIFEST) as stream:
            stream.write(content)
        if self.folder.is_local:
            sync_directory(Path(self.folder.path))


def _cut(chunks: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), CHUNK_BYTES):
            yield view[start : start + CHUNK_BYTES]


@contextmanager
def new_files(folder: Folder, name: str) -> Iterator[FolderWriter]:
    """Yield a writer of a new folder; after the block it is stored under `name`, sealed, replacing an earlier one.

    On an object store the files appear one by one, and the manifest last; an earlier folder is gone from the beginning.
    """
    writer = FolderWriter(begin_files(folder, name))
    try:
        yield writer
        complete_files(writer, folder, name)
    finally:
        if folder.is_local:
            shutil.rmtree(writer.folder.path, ignore_errors=True)


def begin_files(folder: Folder, name: str) -> Folder:
    """Return the folder to write into for a new one of that name: a temporary one on a local disk, else itself."""
    if folder.is_local:
        return Folder(str(temporary_folder(Path(folder.full(name)))))
    folder.delete(name)
    return folder / name


def complete_files(writer: FolderWriter, folder: Folder, name: str) -> None:
    """Seal a folder that was begun by `begin_files`, and store it under its name."""
    writer.seal()
    if folder.is_local:
        put_in_place(Path(writer.folder.path), Path(folder.full(name)))

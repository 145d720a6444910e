"""Folders on any storage that pyarrow reaches: files and folders are stored completely or not at all."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import NativeFile
from pyarrow import fs as pafs

from data_pipelines.storage.atomic_file import (
    TEMPORARY,
    put_in_place,
    replace_file,
    sync_directory,
    temporary_folder,
)
from data_pipelines.storage.checksums import MANIFEST, write_checksums
from data_pipelines.storage.uri import join_uri, parent_uri, split_uri


class Folder:
    """A folder named by a path or URI; picklable, so it travels to every worker.

    Files are replaced atomically on local storage. On object stores a write becomes visible when it is complete; a
    folder counts only with its manifest, which is uploaded last.
    """

    def __init__(self, uri: str):
        self.uri = uri
        self._open()

    def _open(self) -> None:
        self.fs, self.path = split_uri(self.uri)
        self.is_local = isinstance(self.fs, pafs.LocalFileSystem)

    def __getstate__(self) -> dict[str, Any]:
        return {"uri": self.uri}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.uri = state["uri"]
        self._open()

    def __truediv__(self, name: str) -> "Folder":
        if self.is_local:
            return Folder(join_uri(self.uri, name))
        child = object.__new__(Folder)  # to open a storage anew takes as long as to read a little of it
        child.uri, child.fs, child.path, child.is_local = join_uri(self.uri, name), self.fs, self.full(name), False
        return child

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def parent(self) -> "Folder":
        """Folder that holds this one. Raises ValueError for the root of a storage."""
        return Folder(parent_uri(self.uri))

    def sibling(self, name: str) -> "Folder":
        """Return the folder of this name that lies in the same one. Raises ValueError for the root of a storage."""
        return self.parent / name

    def __str__(self) -> str:
        return self.path if self.is_local else self.uri

    def full(self, name: str) -> str:
        """Return the path of an entry inside the file system."""
        return str(PurePosixPath(self.path) / name)

    def exists(self, name: str = "") -> bool:
        return self.fs.get_file_info(self.full(name)).type != pafs.FileType.NotFound

    def is_folder(self, name: str = "") -> bool:
        """Return whether there is a folder, and no file, of this name."""
        return self.fs.get_file_info(self.full(name)).type == pafs.FileType.Directory

    def names(self, name: str = "") -> list[str]:
        """Return the sorted entries of a folder without half-written ones; empty when it does not exist."""
        selector = pafs.FileSelector(self.full(name), allow_not_found=True)
        entries = [Path(info.path).name for info in self.fs.get_file_info(selector)]
        return sorted(entry for entry in entries if not entry.startswith(TEMPORARY))

    def sizes(self) -> dict[str, int]:
        """Return the bytes of the folder's files by name, from one listing; empty when it does not exist."""
        found = self.fs.get_file_info(pafs.FileSelector(self.path, allow_not_found=True))
        return {info.base_name: info.size for info in found if info.type == pafs.FileType.File}

    def size(self, name: str) -> int:
        """Return the bytes of a file; 0 when there is none."""
        return self.fs.get_file_info(self.full(name)).size or 0

    def modified_ns(self, name: str) -> int:
        """Return the time of a file in nanoseconds since 1970; 0 where the storage knows none."""
        return self.fs.get_file_info(self.full(name)).mtime_ns or 0

    def find(self, name: str, ending: str) -> list[str]:
        """Return files with this ending at any depth below `name`, as names in this folder.

        Half-written ones are left out.
        """
        selector = pafs.FileSelector(self.full(name), recursive=True, allow_not_found=True)
        paths = [info.path for info in self.fs.get_file_info(selector) if info.type == pafs.FileType.File]
        whole = [path for path in paths if not Path(path).name.startswith(TEMPORARY)]
        return sorted(path[len(self.path) :].lstrip("/") for path in whole if path.endswith(ending))

    def files(self, name: str) -> list[pafs.FileInfo]:
        """Return all files at any depth below `name`, with their sizes and times, half-written ones too."""
        selector = pafs.FileSelector(self.full(name), recursive=True, allow_not_found=True)
        return [info for info in self.fs.get_file_info(selector) if info.type == pafs.FileType.File]

    def make(self) -> None:
        """Create the folder and its parents. Raises ValueError when that is not possible."""
        try:
            self.fs.create_dir(self.path, recursive=True)
        except OSError as error:
            raise ValueError(
                f"storage folder {self} cannot be made: {error}; give storage.path a folder that can be written"
            ) from error

    def read(self, name: str) -> bytes:
        """Read a file, by one request to other storage; a stream would send one for each 256 KiB."""
        with self.fs.open_input_file(self.full(name)) as file:
            return file.read()

    def read_if_any(self, name: str) -> bytes | None:
        """Read a file; None when there is none."""
        try:
            return self.read(name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_json(self, name: str) -> Any:
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "its text"
            raise ValueError(f"{self.full(name)}: is damaged at {place}; restore it, or remove its folder") from error

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Replace a file, completely or not at all."""
        if not self.is_local:
            with self.open_output(name) as stream:
                stream.write(content)
            return
        target = self.full(name)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with replace_file(Path(target)) as stream:
            stream.write(content)

    def open_output(self, name: str) -> NativeFile:
        """Open a file on other storage; object stores need no folder for it, and would send a request for each."""
        target = self.full(name)
        try:
            return self.fs.open_output_stream(target, compression=None)
        except FileNotFoundError:
            self.fs.create_dir(str(PurePosixPath(target).parent), recursive=True)
            return self.fs.open_output_stream(target, compression=None)

    def sync(self) -> None:
        """Flush the names of the entries to a local disk; other storage does so with each file."""
        if self.is_local:
            sync_directory(Path(self.path))

    def write_json(self, name: str, value: Any) -> None:
        """Replace a JSON file, completely or not at all."""
        self.write(name, to_json(value))

    def delete(self, name: str) -> None:
        """Remove a file or folder, if it exists."""
        info = self.fs.get_file_info(self.full(name))
        if info.type == pafs.FileType.Directory:
            self.fs.delete_dir(info.path)
        elif info.type == pafs.FileType.File:
            self.fs.delete_file(info.path)

    def move(self, name: str, target: str) -> None:
        """Rename a file or folder in this folder; on object stores it is copied, file by file."""
        self.fs.create_dir(str(PurePosixPath(self.full(target)).parent), recursive=True)
        if self.is_local:
            self.fs.move(self.full(name), self.full(target))
            return
        pafs.copy_files(self.full(name), self.full(target), source_filesystem=self.fs, destination_filesystem=self.fs)
        self.delete(name)

    @contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """Yield a local folder to fill; after the block it is stored under `name`, replacing an earlier one."""
        if self.is_local:
            target = Path(self.full(name))
            filling = temporary_folder(target)
            try:
                yield filling
                write_checksums(filling)
                put_in_place(filling, target)
            finally:
                shutil.rmtree(filling, ignore_errors=True)
            return
        with tempfile.TemporaryDirectory(prefix="quintet-") as temporary:
            filling = Path(temporary)
            yield filling
            write_checksums(filling)
            self.delete(name)
            for file in sorted(filling.iterdir(), key=lambda file: file.name == MANIFEST):
                self.write(f"{name}/{file.name}", file.read_bytes())

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield a stored folder as a local path, for reading; downloaded for the block when the storage is remote."""
        if self.is_local:
            yield Path(self.full(name))
            return
        with tempfile.TemporaryDirectory(prefix="quintet-") as temporary:
            for entry in self.names(name):
                Path(temporary, entry).write_bytes(self.read(str(PurePosixPath(name, entry))))
            yield Path(temporary)

    def remove_temporary(self, name: str = "") -> None:
        """Delete the temporary files of an interrupted writer in a folder."""
        selector = pafs.FileSelector(self.full(name), allow_not_found=True)
        for info in self.fs.get_file_info(selector):
            if Path(info.path).name.startswith(TEMPORARY):
                self.delete(f"{name}/{Path(info.path).name}" if name else Path(info.path).name)


def to_json(value: Any) -> bytes:
    """Return the content of a JSON file."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()

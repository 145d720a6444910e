"""Copies of raw data that lie on other storage: each URI has one place on this machine's disk, known without a request.

Settings hold that place, so that readers see files; it is written as the URI again. `fetch` fills it.
"""

import os
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, unquote

from pyarrow import fs as pafs

from data_pipelines.storage.atomic_file import temporary_path
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.uri import split_uri

_NAME = "quintet-raw-"
NUM_THREADS = 8
BLOCK_BYTES = 2**23


class _Remote(NamedTuple):
    """File on other storage."""

    path: str
    size: int
    modified_ns: int


def mirror_of(uri: str) -> Path:
    """Return the place of a URI's copy, among the temporary files of this machine and user."""
    scheme, _, rest = uri.partition("://")
    place, mark, options = rest.partition("?")
    lead = "/" if place.startswith("/") else ""  # as in hdfs:///folder
    storage = quote(f"{scheme}://{lead}{mark}{options}", safe="")
    return Path(tempfile.gettempdir(), f"{_NAME}{os.getuid()}", storage, place.strip("/"))


def uri_of(path: Path) -> str | None:
    """Return the URI whose copy has this place; None for any other path."""
    parts = path.parts
    found = [number for number, part in enumerate(parts) if part.startswith(_NAME)]
    if not found or found[0] + 2 >= len(parts):
        return None
    storage, mark, options = unquote(parts[found[0] + 1]).partition("?")
    if "://" not in storage:  # a folder of a user whose name begins alike
        return None
    return f"{storage}{'/'.join(parts[found[0] + 2 :])}{mark}{options}"


def fetch(path: Path, say: Callable[[str], object] = lambda line: None) -> None:
    """Make the copy at a path, see `mirror_of`, equal to its URI: what differs in size or time is read, others removed.

    `say` gets a line before something is read. Raises ValueError when there is nothing at the URI, it cannot be read,
    or its copy's folder belongs to another user.
    """
    uri = uri_of(path)
    assert uri is not None, f"{path} is no copy"
    _refuse_foreign(path)
    try:
        system, place = split_uri(uri)
        files = _list(system, place)
        if not files:
            raise ValueError(f"{uri}: there is no such file or folder")
        wanted = {_target(path, place, file, uri): file for file in files}
        missing = {target: file for target, file in wanted.items() if not _is_same(target, file)}
        if missing:
            size = sum(file.size for file in missing.values()) / 2**20
            say(f"{len(missing):,} raw files of {uri} are copied to {path} ({size:,.1f} MiB)")
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            list(pool.map(lambda item: _copy(system, item[1], item[0]), missing.items()))
    except OSError as error:
        raise ValueError(f"{uri} cannot be copied to {path}: {error}") from error
    for file in path.rglob("*") if path.is_dir() else ():
        if file not in wanted and (file.is_file() or file.is_symlink()):
            file.unlink()


def exists(path: Path) -> bool:
    """Return whether a path, or the URI whose copy has this place, is there.

    Raises ValueError for storage that cannot be read.
    """
    uri = uri_of(path)
    if uri is None:
        return path.exists()
    try:
        return Folder(uri).exists()
    except OSError as error:
        raise ValueError(f"{uri} cannot be read: {error}") from error


def _list(system: pafs.FileSystem, place: str) -> list[_Remote]:
    [info] = system.get_file_info([place])
    found = [info]
    if info.type != pafs.FileType.File:
        found = system.get_file_info(pafs.FileSelector(place, recursive=True, allow_not_found=True))
    return [_Remote(info.path, info.size, info.mtime_ns or 0) for info in found if info.type == pafs.FileType.File]


def _target(path: Path, place: str, file: _Remote, uri: str) -> Path:
    relative = PurePosixPath(file.path).relative_to(PurePosixPath(place))
    if ".." in relative.parts:
        raise ValueError(f"{uri} holds {file.path}, a name that leads out of it; rename it")
    return path / relative


def _is_same(target: Path, file: _Remote) -> bool:
    try:
        status = target.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.size, file.modified_ns)


def _copy(system: pafs.FileSystem, file: _Remote, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(target)
    try:
        with system.open_input_file(file.path) as source, temporary.open("wb") as copy:
            while block := source.read(BLOCK_BYTES):
                copy.write(block)
        os.utime(temporary, ns=(file.modified_ns, file.modified_ns))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_foreign(path: Path) -> None:
    """Make the user's folder of copies; raise ValueError when it is another's."""
    root = next(parent for parent in path.parents if parent.name.startswith(_NAME))
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = root.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{root}, for copies of raw data, belongs to another user; set TMPDIR to a folder of your own")

"""Reading of Parquet shards: all or some row groups and columns of one file, whose damage is detected.

A process compares pages with their checksums, which take half of the time of reading, when it reads them for the first
time, and again when the file on its disk has changed.
"""

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipelines.contract.pipeline import Shard
from data_pipelines.storage.file_cache import DamagedFileError, FileCache, StoredFile
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.uri import join_uri

_CLOCK_TICK_NS = 2 * 10**9
"""That of the coarsest file systems."""
_Columns = tuple[str, ...] | None
_verified: dict[tuple[Path | None, _Columns], tuple[tuple[int, ...], int]] = {}
"""Of the files on a disk that this process has read: their state, and the verified row groups as bits."""


def read_columns(
    folder: Folder,
    shard: Shard,
    schema: pa.Schema,
    *,
    is_all: bool = True,
    cache: FileCache | None = None,
    groups: Sequence[int] | None = None,
) -> pa.Table:
    """Read one shard, or some row groups of it, without a look at the values.

    Args:
        folder: The prepared folder.
        shard: The shard, as the manifest lists it.
        schema: Columns to read.
        is_all: Whether the shard must have no further columns.
        cache: Cache of files that do not lie on a local disk; by default they are read from their storage.
        groups: Numbers of the row groups to read; by default all.

    Raises:
        ValueError: Names the file, the fault, and the remedy.
    """
    place = place_of(folder, shard.name)
    table = _read(folder, shard, cache, groups, None if is_all else schema.names)
    if not table.schema.equals(schema):
        expected, found = _on_one_line(schema), _on_one_line(table.schema)
        raise ValueError(f"{place}: its columns are {found}, expected {expected}; {remedy(shard)}")
    num_rows = _count_rows(shard, groups)
    if table.num_rows != num_rows:
        raise ValueError(f"{place}: holds {table.num_rows} rows, expected {num_rows}; {remedy(shard)}")
    return table


def place_of(folder: Folder, name: str) -> str:
    """Return the path or URI of a file, for messages, without opening a folder for it."""
    return join_uri(str(folder), name)


def _count_rows(shard: Shard, groups: Sequence[int] | None) -> int:
    if groups is None or shard.group_rows is None:
        return shard.num_rows
    return sum(min(shard.group_rows, shard.num_rows - group * shard.group_rows) for group in groups)


def _read(
    folder: Folder,
    shard: Shard,
    cache: FileCache | None,
    groups: Sequence[int] | None,
    columns: Sequence[str] | None,
) -> pa.Table:
    parse = partial(_parse, groups=groups, columns=None if columns is None else tuple(columns))
    place = place_of(folder, shard.name)
    try:
        if folder.is_local or (cache is None and (groups is not None or columns is not None)):
            path = Path(folder.full(shard.name)) if folder.is_local else None
            with folder.fs.open_input_file(folder.full(shard.name)) as file:
                return parse(file, path)
        stored = StoredFile(folder, shard.name, shard.num_bytes, shard.sha256)
        return cache.read(stored, parse) if cache else parse(pa.BufferReader(stored.fetch()), None)
    except FileNotFoundError as error:
        words = f"{place}: this shard is missing; run prepare again, it remakes just that shard"
        raise ValueError(words) from error
    except (DamagedFileError, _UnreadableError) as error:
        raise ValueError(f"{place}: the file is damaged ({error}); {remedy(shard)}") from error


class _UnreadableError(Exception):
    """Content that is no whole Parquet file."""


def _parse(file: pa.NativeFile, path: Path | None, groups: Sequence[int] | None, columns: _Columns) -> pa.Table:
    """Read an open file, which lies at a path of this machine's disk unless that is None."""
    state = path and _state_of(path)
    wanted = sum(1 << group for group in set(groups)) if groups is not None else -1
    known, verified = _verified.get((path, columns), (None, 0))
    is_known = state is not None and state == known and wanted & ~verified == 0
    try:
        # parts of files of other storage are fetched together, by few requests
        with pq.ParquetFile(file, page_checksum_verification=not is_known, pre_buffer=columns is not None) as content:
            rows = partial(content.read_row_groups, groups) if groups is not None else content.read
            table = rows(columns=columns and list(columns), use_threads=False)
            table.validate()
    except Exception as error:
        # A damaged footer makes pyarrow fail in many ways, also with errors that are not its own.
        raise _UnreadableError(_on_one_line(error)) from error
    if state is not None:
        _verified[path, columns] = state, wanted | (verified if state == known else 0)
    return table


def _state_of(path: Path) -> tuple[int, ...] | None:
    """Return what tells, before a file is read, whether it has changed since; None for one where that cannot be told.

    A file that has just been written could change once more within the tick of its clock.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    if time.time_ns() - status.st_mtime_ns < _CLOCK_TICK_NS:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def remedy(shard: Shard) -> str:
    """Return what to do about a damaged shard."""
    return f"delete {shard.name} and run prepare again, it remakes just that shard"


def _on_one_line(value: object) -> str:
    return "; ".join(str(value).splitlines())

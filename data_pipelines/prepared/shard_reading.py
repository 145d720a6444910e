"""Reading of Parquet shards: all or some row groups and columns of one file, whose damage is detected."""

from collections.abc import Sequence
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipelines.contract.pipeline import Shard
from data_pipelines.storage.file_cache import DamagedFileError, FileCache, StoredFile
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.uri import join_uri


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
    place, parse = place_of(folder, shard.name), partial(_parse, groups=groups, columns=columns)
    try:
        if folder.is_local or (cache is None and (groups is not None or columns is not None)):
            with folder.fs.open_input_file(folder.full(shard.name)) as file:
                return parse(file)
        stored = StoredFile(folder, shard.name, shard.num_bytes, shard.sha256)
        return cache.read(stored, parse) if cache else parse(pa.BufferReader(stored.fetch()))
    except FileNotFoundError as error:
        words = f"{place}: this shard is missing; run prepare again, it remakes just that shard"
        raise ValueError(words) from error
    except (DamagedFileError, _UnreadableError) as error:
        raise ValueError(f"{place}: the file is damaged ({error}); {remedy(shard)}") from error


class _UnreadableError(Exception):
    """Content that is no whole Parquet file."""


def _parse(file: pa.NativeFile, groups: Sequence[int] | None, columns: Sequence[str] | None) -> pa.Table:
    try:
        # parts of files of other storage are fetched together, by few requests
        with pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=columns is not None) as content:
            rows = partial(content.read_row_groups, groups) if groups is not None else content.read
            table = rows(columns=columns, use_threads=False)
            table.validate()
            return table
    except Exception as error:
        # A damaged footer makes pyarrow fail in many ways, also with errors that are not its own.
        raise _UnreadableError(_on_one_line(error)) from error


def remedy(shard: Shard) -> str:
    """Return what to do about a damaged shard."""
    return f"delete {shard.name} and run prepare again, it remakes just that shard"


def _on_one_line(value: object) -> str:
    return "; ".join(str(value).splitlines())

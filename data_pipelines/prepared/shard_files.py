"""Parquet shards: each is written completely or not at all, and damage is detected at every read."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipelines.contract.pipeline import DataPipeline, DataSpec, Shard, Split
from data_pipelines.storage.file_cache import DamagedFileError, FileCache, StoredFile
from data_pipelines.storage.folder import Folder

SHARD_BYTES = 32 * 1024**2
"""Decoded bytes of one shard: large enough to make Ray's cost per task small, and well below Ray's block size (128
MiB), so that one shard stays one block."""
GROUP_BYTES = 1024**2
"""Decoded bytes of a row group, about: the rows that a worker reads at once from a random place."""


def shard_name(split: Split, index: int) -> str:
    """Return the file name of the `index`-th shard of a split, counted from 0."""
    return f"{split}-{index:05d}.parquet"


def choose_rows_per_shard(num_rows: int, decoded: pa.Table) -> int:
    """Return the number of stored rows that fill `SHARD_BYTES`, estimated from `num_rows` decoded ones; at least 1."""
    return _fill(SHARD_BYTES, num_rows, decoded)


def _fill(num_bytes: int, num_rows: int, decoded: pa.Table) -> int:
    return max(1, num_bytes * num_rows // max(1, decoded.nbytes))


def delete_shards(folder: Folder) -> None:
    """Remove all shards of a folder."""
    for name in folder.names():
        if name.endswith(".parquet"):
            folder.delete(name)


def write_shard(table: pa.Table, folder: Folder, name: str, decoded: pa.Table) -> Shard:
    """Write one shard, completely or not at all; `decoded` are its rows as `DataPipeline.decode` gives them.

    The columns hold raw pixels or already coded bytes: compression and dictionaries would cost time and save nothing.
    """
    is_plain = decoded.num_rows == table.num_rows
    group_rows = min(_fill(GROUP_BYTES, decoded.num_rows, decoded), table.num_rows) if is_plain else table.num_rows
    file = pa.BufferOutputStream()
    pq.write_table(
        table.combine_chunks(),
        file,
        row_group_size=max(1, group_rows),
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    content = memoryview(file.getvalue())
    folder.write(name, content)
    folder.sync()
    return Shard(
        name=name,
        num_rows=table.num_rows,
        num_samples=None if is_plain else decoded.num_rows,
        num_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        group_rows=group_rows if is_plain else None,
    )


def load_shard(
    folder: Folder,
    shard: Shard,
    pipeline: DataPipeline[Any],
    *,
    data_spec: DataSpec | None = None,
    cache: FileCache | None = None,
    groups: range | None = None,
) -> pa.Table:
    """Read, check and decode one shard, or some row groups of it.

    Args:
        folder: The prepared folder.
        shard: The shard, as the manifest lists it.
        pipeline: Checks and decodes the rows.
        data_spec: The manifest's data spec; by default the pipeline's.
        cache: Cache of files that do not lie on a local disk; by default they are read from their storage.
        groups: Numbers of the row groups to read; by default all.

    Raises:
        ValueError: Names the file, the fault, and the remedy.
    """
    place = str(folder / shard.name)
    table = _read(folder, shard, cache, groups)
    if not table.schema.equals(pipeline.schema):
        expected, found = _on_one_line(pipeline.schema), _on_one_line(table.schema)
        raise ValueError(f"{place}: its columns are {found}, expected {expected}; {_remedy(shard)}")
    num_rows = _count_rows(shard, groups)
    if table.num_rows != num_rows:
        raise ValueError(f"{place}: holds {table.num_rows} rows, expected {num_rows}; {_remedy(shard)}")
    try:
        pipeline.check(
            table, data_spec=pipeline.data_spec() if data_spec is None else data_spec, file=place, first_row=0
        )
    except ValueError as error:
        raise ValueError(f"{error}; {_remedy(shard)}") from error
    try:
        return pipeline.decode(table)
    except Exception as error:
        raise ValueError(f"{place}: cannot be decoded ({error}); {_remedy(shard)}") from error


def _count_rows(shard: Shard, groups: range | None) -> int:
    if groups is None or shard.group_rows is None:
        return shard.num_rows
    return min(groups.stop * shard.group_rows, shard.num_rows) - groups.start * shard.group_rows


def _read(folder: Folder, shard: Shard, cache: FileCache | None, groups: Sequence[int] | None) -> pa.Table:
    place, parse = folder / shard.name, partial(_parse, groups=groups)
    try:
        if folder.is_local or (cache is None and groups is not None):
            with folder.fs.open_input_file(place.path) as file:
                return parse(file)
        stored = StoredFile(folder, shard.name, shard.num_bytes, shard.sha256)
        return cache.read(stored, parse) if cache else parse(pa.BufferReader(stored.fetch()))
    except FileNotFoundError as error:
        words = f"{place}: this shard is missing; run prepare again, it remakes just that shard"
        raise ValueError(words) from error
    except (DamagedFileError, _UnreadableError) as error:
        raise ValueError(f"{place}: the file is damaged ({error}); {_remedy(shard)}") from error


class _UnreadableError(Exception):
    """Content that is no whole Parquet file."""


def _parse(file: pa.NativeFile, groups: Sequence[int] | None) -> pa.Table:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as content:
            rows = partial(content.read_row_groups, groups) if groups is not None else content.read
            table = rows(use_threads=False)
            table.validate()
            return table
    except Exception as error:
        # A damaged footer makes pyarrow fail in many ways, also with errors that are not its own.
        raise _UnreadableError(_on_one_line(error)) from error


def _remedy(shard: Shard) -> str:
    return f"delete {shard.name} and run prepare again, it remakes just that shard"


def _on_one_line(value: object) -> str:
    return "; ".join(str(value).splitlines())

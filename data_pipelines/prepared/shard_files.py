"""Parquet shards: each is written completely or not at all, and damage is detected when it is read."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipelines.contract.pipeline import DataPipeline, DataSpec, DecodedSize, Shard, Split
from data_pipelines.prepared.shard_reading import place_of, read_columns, remedy
from data_pipelines.storage.file_cache import FileCache
from data_pipelines.storage.folder import Folder

SHARD_BYTES = 32 * 1024**2
"""Decoded bytes of one shard: large enough to make Ray's cost per task small, and well below Ray's block size (128
MiB), so that one shard stays one block."""
GROUP_BYTES = 1024**2
"""Decoded bytes of a row group, about: the rows that a worker reads at once from a random place."""


def shard_name(split: Split, index: int) -> str:
    """Return the file name of the `index`-th shard of a split, counted from 0."""
    return f"{split}-{index:05d}.parquet"


def choose_rows_per_shard(num_rows: int, decoded: pa.Table | DecodedSize) -> int:
    """Return the number of stored rows that fill `SHARD_BYTES`, estimated from `num_rows` decoded ones; at least 1."""
    return _fill(SHARD_BYTES, num_rows, decoded)


def _fill(num_bytes: int, num_rows: int, decoded: pa.Table | DecodedSize) -> int:
    return max(1, num_bytes * num_rows // max(1, decoded.nbytes))


def delete_shards(folder: Folder) -> None:
    """Remove all shards of a folder."""
    for name in folder.names():
        if name.endswith(".parquet"):
            folder.delete(name)


def write_shard(
    table: pa.Table, folder: Folder, name: str, decoded: pa.Table | DecodedSize, *, group_bytes: int | None = None
) -> Shard:
    """Write one shard, completely or not at all.

    The columns hold raw pixels or already coded bytes: compression and dictionaries would cost time and save nothing.

    Args:
        table: The rows.
        folder: The prepared folder.
        name: The file's name.
        decoded: The rows as `DataPipeline.decode` gives them, or their size.
        group_bytes: Decoded bytes of a row group, about; by default `GROUP_BYTES`.
    """
    is_plain = decoded.num_rows == table.num_rows
    most = _fill(group_bytes or GROUP_BYTES, decoded.num_rows, decoded)
    group_rows = min(most, table.num_rows) if is_plain else table.num_rows
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
    groups: Sequence[int] | None = None,
) -> pa.Table:
    """Read, check and decode one shard, or some row groups of it; see `read_columns`.

    The data spec is the manifest's, by default the pipeline's. Raises ValueError naming the file, the fault, and the
    remedy.
    """
    table = read_columns(folder, shard, pipeline.schema, cache=cache, groups=groups)
    return decode_checked(table, folder, shard, pipeline, pipeline.data_spec() if data_spec is None else data_spec)


def decode_checked(
    table: pa.Table, folder: Folder, shard: Shard, pipeline: DataPipeline[Any], data_spec: DataSpec
) -> pa.Table:
    """Check and decode rows of a shard. Raises ValueError that names the file, the fault, and the remedy."""
    place = place_of(folder, shard.name)
    try:
        pipeline.check(table, data_spec=data_spec, file=place, first_row=0)
    except ValueError as error:
        raise ValueError(f"{error}; {remedy(shard)}") from error
    try:
        return pipeline.decode(table)
    except Exception as error:
        raise ValueError(f"{place}: cannot be decoded ({error}); {remedy(shard)}") from error

"""Parquet shards: each is written completely or not at all, and damage is detected at every read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipelines.contract.pipeline import DataPipeline, DataSpec, Shard, Split
from data_pipelines.storage.atomic_file import replace_file, sync_directory
from data_pipelines.storage.checksums import hash_file

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
    return max(1, SHARD_BYTES * num_rows // max(1, decoded.nbytes))


def choose_rows(decoded: pa.Table, num_bytes: int) -> int:
    """Return the number of rows that fill so many bytes; at least 1."""
    return max(1, num_bytes * decoded.num_rows // max(1, decoded.nbytes))


def write_shard(table: pa.Table, path: Path, decoded: pa.Table) -> Shard:
    """Write one shard, completely or not at all; `decoded` are its rows as `DataPipeline.decode` gives them.

    The columns hold raw pixels or already coded bytes: compression and dictionaries would cost time and save nothing.
    """
    group_rows = table.num_rows
    if decoded.num_rows == table.num_rows:
        group_rows = min(choose_rows(decoded, GROUP_BYTES), table.num_rows)
    with replace_file(path) as file:
        pq.write_table(
            table.combine_chunks(),
            file,
            row_group_size=max(1, group_rows),
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
    sync_directory(path.parent)
    is_plain = decoded.num_rows == table.num_rows
    return Shard(
        name=path.name,
        num_rows=table.num_rows,
        num_samples=None if is_plain else decoded.num_rows,
        num_bytes=path.stat().st_size,
        sha256=hash_file(path),
        group_rows=group_rows if is_plain else None,
    )


def load_shard(
    path: Path,
    pipeline: DataPipeline[Any],
    *,
    data_spec: DataSpec | None = None,
    num_rows: int | None = None,
    groups: Sequence[int] | None = None,
) -> pa.Table:
    """Read, check and decode one shard, or some row groups of it.

    Args:
        path: The shard's file.
        pipeline: Checks and decodes the rows.
        data_spec: The manifest's data spec; by default the pipeline's.
        num_rows: Expected stored rows, if known.
        groups: Numbers of the row groups to read; by default all.

    Raises:
        ValueError: Names the file, the fault, and the remedy.
    """
    table = _read(path, groups)
    if not table.schema.equals(pipeline.schema):
        expected, found = _on_one_line(pipeline.schema), _on_one_line(table.schema)
        raise ValueError(f"{path}: its columns are {found}, expected {expected}; {_remedy(path)}")
    if num_rows is not None and table.num_rows != num_rows:
        raise ValueError(f"{path}: holds {table.num_rows} rows, expected {num_rows}; {_remedy(path)}")
    try:
        pipeline.check(
            table, data_spec=pipeline.data_spec() if data_spec is None else data_spec, file=path, first_row=0
        )
    except ValueError as error:
        raise ValueError(f"{error}; {_remedy(path)}") from error
    try:
        return pipeline.decode(table)
    except Exception as error:
        raise ValueError(f"{path}: cannot be decoded ({error}); {_remedy(path)}") from error


def _read(path: Path, groups: Sequence[int] | None) -> pa.Table:
    if not path.is_file():
        raise ValueError(f"{path}: this shard is missing; run prepare again, it remakes just that shard")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(use_threads=False) if groups is None else file.read_row_groups(groups, use_threads=False)
            table.validate()
            return table
    except Exception as error:
        # A damaged footer makes pyarrow fail in many ways, also with errors that are not its own.
        raise ValueError(f"{path}: the file is damaged ({_on_one_line(error)}); {_remedy(path)}") from error


def _remedy(path: Path) -> str:
    return f"delete {path.name} and run prepare again, it remakes just that shard"


def _on_one_line(value: object) -> str:
    return "; ".join(str(value).splitlines())

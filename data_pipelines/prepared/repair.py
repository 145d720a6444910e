"""Repair of a prepared folder: check that its shards are complete, and write single ones again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, Manifest, Shard, Split
from data_pipelines.prepared.raw_rows import read_pieces
from data_pipelines.prepared.shard_files import write_shard
from data_pipelines.storage.checksums import hash_file


def has_size(folder: Path, shard: Shard) -> bool:
    """Return whether the file exists and is as long as it was when written."""
    path = folder / shard.name
    return path.is_file() and path.stat().st_size == shard.num_bytes


def has_hash(folder: Path, shard: Shard) -> bool:
    """Return whether the file is, byte for byte, as it was written."""
    return has_size(folder, shard) and hash_file(folder / shard.name) == shard.sha256


def is_whole(folder: Path, manifest: Manifest) -> bool:
    """Return whether every shard exists and has its size."""
    return all(has_size(folder, shard) for shards in manifest.splits.values() for shard in shards)


def remake_shards(
    pipeline: DataPipeline[Any], folder: Path, manifest: Manifest, *, is_good: Callable[[Path, Shard], bool]
) -> Manifest:
    """Write the shards that are not good again, from their raw rows.

    Args:
        pipeline: Reads the raw rows.
        folder: The prepared folder.
        manifest: The folder's manifest.
        is_good: Checks one shard, for example `has_size`.

    Returns:
        The manifest with the new shards.
    """
    splits: dict[str, list[Shard]] = {}
    for split, shards in manifest.splits.items():
        splits[split], first_row = [], 0
        for shard in shards:
            good = is_good(folder, shard)
            splits[split].append(shard if good else _remake(pipeline, folder, cast(Split, split), shard, first_row))
            first_row += shard.num_raw_rows
    return manifest.model_copy(update={"splits": splits})


def _remake(pipeline: DataPipeline[Any], folder: Path, split: Split, shard: Shard, first_row: int) -> Shard:
    rows = next(read_pieces(pipeline, split, first_row, [shard.num_raw_rows]))
    if (rows.num_rows, len(rows.faults)) != (shard.num_rows, shard.num_left_out):
        raise ValueError(
            f"{folder / shard.name}: {rows.num_rows} rows can be read now, and {shard.num_rows} were stored; run "
            "prepare with --again"
        )
    table = pa.concat_tables(rows.tables)
    made = write_shard(table, folder / shard.name, pipeline.decode(table))
    return made.model_copy(update={"num_left_out": shard.num_left_out})

"""Repair of a prepared folder: check that its shards are complete, and write single ones again."""

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, Manifest, Shard, Split
from data_pipelines.prepared.raw_rows import read_pieces
from data_pipelines.prepared.shard_files import write_shard
from data_pipelines.storage.folder import Folder


def has_size(sizes: Mapping[str, int], shard: Shard) -> bool:
    """Return whether the file is among these of a folder, and as long as it was when written."""
    return sizes.get(shard.name) == shard.num_bytes


def has_hash(folder: Folder, shard: Shard) -> bool:
    """Return whether the file, which exists, is byte for byte as it was written."""
    return hashlib.sha256(folder.read(shard.name)).hexdigest() == shard.sha256


def is_whole(folder: Folder, manifest: Manifest) -> bool:
    """Return whether every shard exists and has its size."""
    sizes = folder.sizes()
    return all(has_size(sizes, shard) for shards in manifest.splits.values() for shard in shards)


def remake_shards(pipeline: DataPipeline[Any], folder: Folder, manifest: Manifest) -> Manifest:
    """Write the shards that are missing or cut off again, from their raw rows.

    Args:
        pipeline: Reads the raw rows.
        folder: The prepared folder.
        manifest: The folder's manifest.

    Returns:
        The manifest with the new shards.
    """
    sizes = folder.sizes()
    splits: dict[str, list[Shard]] = {}
    for split, shards in manifest.splits.items():
        splits[split], first_row = [], 0
        for shard in shards:
            good = has_size(sizes, shard)
            splits[split].append(shard if good else _remake(pipeline, folder, cast(Split, split), shard, first_row))
            first_row += shard.num_raw_rows
    return manifest.model_copy(update={"splits": splits})


def _remake(pipeline: DataPipeline[Any], folder: Folder, split: Split, shard: Shard, first_row: int) -> Shard:
    rows = next(read_pieces(pipeline, split, first_row, [shard.num_raw_rows]))
    if (rows.num_rows, len(rows.faults)) != (shard.num_rows, shard.num_left_out):
        raise ValueError(
            f"{folder / shard.name}: {rows.num_rows} rows can be read now, and {shard.num_rows} were stored; run "
            "prepare with --again"
        )
    table = pa.concat_tables(rows.tables)
    made = write_shard(table, folder, shard.name, pipeline.decode(table))
    return made.model_copy(update={"num_left_out": shard.num_left_out})

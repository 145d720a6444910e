"""Repair of a prepared folder: single shards are written again."""

from typing import Any, cast

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, Manifest, Shard, Split
from data_pipelines.prepared.making.raw_rows import read_pieces
from data_pipelines.prepared.shard_checks import has_size
from data_pipelines.prepared.shard_files import write_shard
from data_pipelines.storage.folder import Folder


def remake_shards(pipeline: DataPipeline[Any], folder: Folder, manifest: Manifest) -> Manifest:
    """Write the shards that are missing or cut off again, from their raw rows; returns the new manifest."""
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
    made = write_shard(table, folder, shard.name, pipeline.measure(table), group_bytes=pipeline.group_bytes)
    return made.model_copy(update={"num_left_out": shard.num_left_out})

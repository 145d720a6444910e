"""Making of shards: raw rows are read, checked and written, task by task."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, DataSpec, LeftOut
from data_pipelines.prepared.making.raw_rows import RawRows, read_pieces
from data_pipelines.prepared.making.shard_plan import MadeShard, ShardTask
from data_pipelines.prepared.shard_files import shard_name, write_shard
from data_pipelines.readers.bad_file import printable
from data_pipelines.storage.folder import Folder

OnRows = Callable[[int], object]
"""Called with the number of raw rows that have been read."""


def make_shards(
    pipeline: DataPipeline[Any], folder: Folder, tasks: Sequence[ShardTask], data_spec: DataSpec, on_rows: OnRows
) -> Iterator[MadeShard]:
    """Make the shards of tasks that follow one another, in one pass over their raw rows.

    `tasks` are of one split, see `group_tasks`; `on_rows` is called whenever raw rows have been read.

    Raises:
        ValueError: The rows are not as the plan says, or a value is out of range.
    """
    sizes = [task.num_rows for task in tasks]
    first, last = tasks[0], tasks[-1]
    pieces = read_pieces(pipeline, first.split, first.first_row, sizes, ends_split=last.is_last, on_rows=on_rows)
    for task, rows in zip(tasks, pieces, strict=False):
        yield _make(pipeline, folder, task, rows, data_spec)
    next(pieces, None)  # looks for rows behind the last


def _make(
    pipeline: DataPipeline[Any], folder: Folder, task: ShardTask, rows: RawRows, data_spec: DataSpec
) -> MadeShard:
    left_out = [
        LeftOut(file=printable(fault.file), fault=fault.fault, row=row)
        for fault, row in zip(rows.faults, rows.fault_rows, strict=True)
    ]
    nothing = MadeShard(split=task.split, index=task.index, num_raw_rows=task.num_rows, shard=None, left_out=left_out)
    if not rows.tables or (left_out and pipeline.on_bad_file == "refuse"):
        return nothing
    table, name = pa.concat_tables(rows.tables), shard_name(task.split, task.index)
    pipeline.check(table, data_spec=data_spec, file=str(folder / name), first_row=0)
    decoded = pipeline.measure(table)
    changes = {
        "shard": write_shard(table, folder, name, decoded, group_bytes=pipeline.group_bytes),
        "decoded_bytes": decoded.nbytes,
        "counts": {group: dict(numbers) for group, numbers in pipeline.count(table).items()},
    }
    return nothing.model_copy(update=changes)

"""Row sources of a plan: through Ray Data, or read by the worker itself in local mode."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, Split
from data_pipelines.prepared.ray_dataset import ShardedSplit, open_split, ray_dataset
from trainables.engine.data.prefetch import prefetch_map
from trainables.engine.data.rows import ResidentRows, RowSource, StreamedRows, copied
from trainables.plan import Plan

if TYPE_CHECKING:
    from trainables.ray_train.decoded_dataset import StoredRows


def open_splits(plan: Plan) -> dict[Split, ShardedSplit]:
    """Open every split that has rows, without reading them."""
    names: list[Any] = [name for name, shards in plan.manifest.splits.items() if shards]
    return {name: open_split(plan.prepared, plan.manifest, name) for name in names}


def build_local_sources(plan: Plan, pipeline: DataPipeline) -> dict[Split, RowSource]:
    """Build row sources that are read by this process, without Ray."""
    return {name: _local_rows(plan, split, pipeline) for name, split in open_splits(plan).items()}


def _local_rows(plan: Plan, split: ShardedSplit, pipeline: DataPipeline) -> RowSource:
    if plan.feed == "resident":
        return ResidentRows(list(_load(plan, split, pipeline, range(len(split.shards)))))
    return _streamed_by_itself(plan, split, pipeline)


def _streamed_by_itself(plan: Plan, split: ShardedSplit, pipeline: DataPipeline) -> RowSource:
    return _streamed(plan, split, partial(_load, plan, split, pipeline))


def _load(plan: Plan, split: ShardedSplit, pipeline: DataPipeline, shards: Sequence[int]) -> Iterator[pa.Table]:
    """Yield decoded shards, prefetched as far as the next window."""
    threads = plan.scaling.read_threads
    depth = max(plan.run.training.shuffle_window, threads)
    return prefetch_map(partial(split.load, pipeline=pipeline), shards, threads=threads, depth=depth)


def build_ray_sources(plan: Plan, pipeline: DataPipeline, stored: "StoredRows | None") -> dict[Split, RowSource]:
    """Build row sources over `stored` rows in the object store, or streamed by Ray Data tasks.

    Call it inside a worker.
    """
    if stored:
        return {name: ResidentRows(tables) for name, tables in stored.tables().items()}
    return {name: _streamed_by_ray(plan, split, pipeline) for name, split in open_splits(plan).items()}


def _streamed_by_ray(plan: Plan, split: ShardedSplit, pipeline: DataPipeline) -> RowSource:
    import ray.train

    if plan.scaling.read_tasks == 0:
        return _streamed_by_itself(plan, split, pipeline)

    def read(shards: Sequence[int]) -> Iterator[pa.Table]:
        sharers = ray.train.get_context().get_world_size()
        dataset: Any = ray_dataset(split, pipeline, shards, concurrency=plan.scaling.read_tasks, sharers=sharers)
        # copied, so that a window of shards does not keep its blocks in the object store
        return map(copied, dataset.iter_batches(batch_size=None, batch_format="pyarrow"))

    return _streamed(plan, split, read)


def _streamed(plan: Plan, split: ShardedSplit, read: Any) -> StreamedRows:
    rows = [shard.decoded_rows for shard in split.shards]
    return StreamedRows(rows, read, window=plan.run.training.shuffle_window)

"""Row sources of a plan: through Ray Data, or read by the worker itself in local mode."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, Split
from data_pipelines.prepared.ray_dataset import Piece, ShardedSplit, open_split, ray_dataset
from trainables.engine.data.prefetch import prefetch_map
from trainables.engine.data.row_order import Shards, share_bounds
from trainables.engine.data.rows import ResidentRows, RowSource, StreamedRows, copied
from trainables.plan import Plan

RUN_PIECES = 4
"""Most pieces of a shard that are read at once, which takes a fifth less time for each."""


def open_splits(plan: Plan) -> dict[Split, ShardedSplit]:
    """Open every split that has rows, without reading them."""
    names: list[Any] = [name for name, shards in plan.manifest.splits.items() if shards]
    return {name: open_split(plan.prepared, plan.manifest, name, cache=plan.cache) for name in names}


def build_local_sources(plan: Plan, pipeline: DataPipeline) -> dict[Split, RowSource]:
    """Build row sources that are read by this process, without Ray."""
    return {name: _local_rows(plan, split, pipeline) for name, split in open_splits(plan).items()}


def _local_rows(plan: Plan, split: ShardedSplit, pipeline: DataPipeline) -> RowSource:
    if plan.feed == "resident":
        return ResidentRows(list(_load(plan, split, pipeline, split.whole())), shards_of(split))
    return _streamed_by_itself(plan, split, pipeline)


def shards_of(split: ShardedSplit) -> Shards:
    """Return the sizes of a split's shards and of their row groups, from which the order of the rows follows."""
    sizes = tuple(shard.decoded_rows for shard in split.shards)
    return Shards(sizes, tuple(shard.group_rows or shard.decoded_rows for shard in split.shards))


def evaluated_pieces(split: ShardedSplit, rank: int, world_size: int) -> list[Piece]:
    """Return the pieces of a split that one of several workers evaluates."""
    return shards_of(split).between(*share_bounds(split.num_rows, world_size)[rank : rank + 2])


def _streamed_by_itself(plan: Plan, split: ShardedSplit, pipeline: DataPipeline) -> RowSource:
    def read(passes: Iterable[Sequence[Piece]]) -> Iterator[pa.Table]:
        return _load(plan, split, pipeline, chain.from_iterable(passes))

    return StreamedRows(shards_of(split), read)


def _load(plan: Plan, split: ShardedSplit, pipeline: DataPipeline, pieces: Iterable[Piece]) -> Iterator[pa.Table]:
    """Yield decoded pieces, prefetched as far as the next window."""
    threads, workers, shards = plan.scaling.read_threads, max(plan.scaling.num_workers, 1), len(split.shards)
    window_rows = min(plan.run.training.shuffle_window, shards) * split.num_rows // shards // workers

    def load(pieces: Sequence[Piece]) -> pa.Table:
        return split.load_pieces(pieces, pipeline)

    def weigh(pieces: Sequence[Piece]) -> int:
        return sum(piece.num_rows for piece in pieces)

    return prefetch_map(load, _runs(pieces), threads=threads, depth=window_rows, weigh=weigh)


def _runs(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Yield up to `RUN_PIECES` pieces at a time that follow one another in a shard."""
    run: list[Piece] = []
    for piece in pieces:
        if run and (len(run) == RUN_PIECES or piece.shard != run[-1].shard or piece.start < run[-1].stop):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def build_ray_sources(plan: Plan, pipeline: DataPipeline) -> dict[Split, RowSource]:
    """Build row sources over the datasets of the run, or streamed by Ray Data tasks. Call it inside a worker."""
    import ray.train

    splits = open_splits(plan)
    if plan.feed == "resident":
        return {name: resident_rows(split, ray.train.get_dataset_shard(name)) for name, split in splits.items()}
    return {name: _streamed_by_ray(plan, split, pipeline) for name, split in splits.items()}


def build_shared_sources(plan: Plan, pipeline: DataPipeline, datasets: Mapping[Split, Any]) -> dict[Split, RowSource]:
    """Build row sources over decoded datasets that other runs read too. Call it inside any process of the cluster."""
    return {name: resident_rows(split, datasets[name]) for name, split in open_splits(plan).items()}


def resident_rows(split: ShardedSplit, dataset: Any) -> ResidentRows:
    """Return the rows of a decoded dataset, or of an iterator over one, in its blocks in the shared object store."""
    return ResidentRows(list(_blocks(dataset)), shards_of(split))


def _blocks(dataset: Any) -> Iterator[pa.Table]:
    return iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))


def _streamed_by_ray(plan: Plan, split: ShardedSplit, pipeline: DataPipeline) -> RowSource:
    import ray.train

    if plan.scaling.read_tasks == 0:
        return _streamed_by_itself(plan, split, pipeline)
    context = ray.train.get_context()
    rank, sharers = context.get_world_rank(), context.get_world_size()
    mine = evaluated_pieces(split, rank, sharers)

    def read(passes: Iterable[Sequence[Piece]]) -> Iterator[pa.Table]:
        return chain.from_iterable(read_pass(pieces) for pieces in passes if pieces)

    def read_pass(pieces: Sequence[Piece]) -> Iterator[pa.Table]:
        if split.split != "train" and pieces == mine:
            dataset: Any = ray.train.get_dataset_shard(split.split)
        else:
            dataset = ray_dataset(split, pipeline, pieces, concurrency=plan.scaling.read_tasks, sharers=sharers)
            dataset.set_name(f"{plan.run_id}_{split.split}_{rank}")
        # copied, so that a window of shards does not keep its blocks in the object store
        return map(copied, _blocks(dataset))

    return StreamedRows(shards_of(split), read)

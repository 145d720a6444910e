"""Prepared splits as Ray datasets: one shard per task, rows in the requested order."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from data_pipelines.contract.choosing import ChoosingPipeline
from data_pipelines.contract.pipeline import DataPipeline, DataSpec, Manifest, Shard, Split
from data_pipelines.prepared.choices.choice_rows import load_choice
from data_pipelines.prepared.choices.store_files import StoreFiles, open_stores
from data_pipelines.prepared.shard_checks import refuse_missing
from data_pipelines.prepared.shard_files import load_shard
from data_pipelines.storage.file_cache import FileCache
from data_pipelines.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_SMALLEST_BLOCK = 1024**2
"""Minimum bytes per shard in the estimate of the object store's share."""

_READ_RETRIES = 10
"""Restarts of a task whose process was killed, or whose rows were lost with a machine. Ray Data's own default is
unlimited, even for a file that kills every process that reads it."""


class Piece(NamedTuple):
    """Consecutive decoded rows of one shard."""

    shard: int
    """Number of the shard in its split."""
    start: int
    stop: int
    """Number of the row behind them."""

    @property
    def num_rows(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class ShardedSplit:
    """Shards of one split: names and counts only, nothing is read."""

    folder: Folder
    split: Split
    shards: tuple[Shard, ...]
    decoded_bytes: int
    """Bytes of all shards together."""
    data_spec: DataSpec
    cache: FileCache | None = None
    """Cache of shards that do not lie on a local disk."""
    stores: tuple[StoreFiles, ...] = ()
    """Stores that the rows are chosen from, if the shards do not hold them."""

    @property
    def num_rows(self) -> int:
        """Decoded rows of all shards."""
        return sum(shard.decoded_rows for shard in self.shards)

    def whole(self) -> list[Piece]:
        """Return all rows, shard by shard."""
        return [Piece(index, 0, shard.decoded_rows) for index, shard in enumerate(self.shards)]

    def load(self, index: int, pipeline: DataPipeline[Any], rows: tuple[int, int] | None = None) -> pa.Table:
        """Read and decode one shard, or the rows from a first to before a last one, in this process.

        Raises ValueError naming the file.
        """
        shard = self.shards[index]
        first, last = rows or (0, shard.decoded_rows)
        if self.stores:
            assert isinstance(pipeline, ChoosingPipeline), f"{self.folder} holds no rows, but a choice of them"
            options = {"data_spec": self.data_spec, "cache": self.cache}
            return load_choice(self.folder, shard, pipeline, self.stores, (first, last), **options)
        groups, size = None, shard.group_rows
        if size is not None and last - first < shard.num_rows:
            groups = range(first // size, (last - 1) // size + 1)
        table = load_shard(self.folder, shard, pipeline, data_spec=self.data_spec, cache=self.cache, groups=groups)
        return table.slice(first - (groups.start * size if groups and size else 0), last - first)

    def load_pieces(self, pieces: Sequence[Piece], pipeline: DataPipeline[Any]) -> pa.Table:
        """Read and decode pieces of one shard, which ascend, by one read if they are row groups.

        Raises ValueError naming the file.
        """
        shard = self.shards[pieces[0].shard]
        size = shard.group_rows
        if len(pieces) == 1 or self.stores or size is None:
            return pa.concat_tables([self.load(index, pipeline, (first, last)) for index, first, last in pieces])
        groups = [piece.start // size for piece in pieces]
        assert all(piece.start % size == 0 and piece.num_rows <= size for piece in pieces)
        table = load_shard(self.folder, shard, pipeline, data_spec=self.data_spec, cache=self.cache, groups=groups)
        assert table.num_rows == sum(piece.num_rows for piece in pieces)
        return table


def open_split(folder: Folder, manifest: Manifest, split: Split, *, cache: FileCache | None = None) -> ShardedSplit:
    """Open one split of a prepared folder; ValueError when it has no rows or a file is missing or cut off.

    A cache that is too small for all splits is not used: rows are read from random places, and whole files would be
    fetched for each of them.
    """
    shards = tuple(manifest.splits.get(split, ()))
    if not shards:
        have = ", ".join(name for name, listed in manifest.splits.items() if listed)
        raise ValueError(f"{folder} has no rows in split {split!r}; it has: {have}")
    refuse_missing(folder, shards)
    stores = open_stores(folder, manifest)
    num_bytes = sum(shard.num_bytes for listed in manifest.splits.values() for shard in listed)
    if cache is not None and num_bytes + sum(store.num_bytes for store in stores) > cache.max_bytes:
        cache = None
    stores = tuple(replace(store, cache=cache) for store in stores)
    return ShardedSplit(folder, split, shards, manifest.decoded_bytes[split], manifest.data_spec, cache, stores)


def ray_dataset(
    split: ShardedSplit,
    pipeline: DataPipeline[Any],
    parts: Sequence[Piece],
    *,
    concurrency: int,
    sharers: int = 1,
) -> "Dataset":
    """Build a lazy dataset of the decoded rows of the given parts, in the given order; nothing is random.

    The tasks request no CPU, because they must also run while training workers hold every logical CPU; `concurrency`
    bounds them instead. A shard that cannot be read stops the iteration; `cause_of` finds the ValueError.

    Args:
        split: The split.
        pipeline: Decodes the rows.
        parts: What to read, in this order; small parts that follow one another are read by one task.
        concurrency: Most tasks at the same time.
        sharers: Number of concurrent readers; together their tasks take at most half of Ray's object store.
    """
    if not parts:
        raise ValueError(f"{split.folder}: no shards of {split.split} were asked for")
    items = [{"parts": group} for group in _group(split, parts)]
    import ray.data

    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        partial(_load_in_task, split=split, pipeline=pipeline),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=0,
        max_retries=_READ_RETRIES,
        compute=ray.data.TaskPoolStrategy(size=min(concurrency, len(items))),
    )
    dataset.context.raise_original_map_exception = True
    options = dataset.context.execution_options
    options.preserve_order = True
    options.resource_limits = options.resource_limits.copy(
        object_store_memory=min(_store_bytes(split, concurrency), object_store_bytes() // (2 * sharers))
    )
    return dataset


def object_store_bytes() -> int:
    """Return the size of the cluster's smallest object store, because every node that reads the data holds a copy."""
    import ray

    sizes = [node["Resources"].get("object_store_memory", 0) for node in ray.nodes() if node["Alive"]]
    return int(min(sizes))


def cause_of(error: BaseException) -> BaseException:
    """Return the error raised in a Ray task, without Ray's wrapping.

    An error that Ray did not wrap is returned as it is.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return cause_of(cause)
    if is_ray_error(error, "WorkerCrashedError"):
        return ValueError(
            f"a process that read the data was killed {_READ_RETRIES + 1} times over the same rows, by a file that its "
            "reader cannot take or for want of memory"
        )
    return error


def is_ray_error(error: BaseException, *names: str) -> bool:
    """Return whether an error is one of `ray.exceptions`, by name; Ray is not imported where it is not in use."""
    ray = sys.modules.get("ray")
    return ray is not None and isinstance(error, tuple(getattr(ray.exceptions, name) for name in names))


class BadInputError(ValueError):
    """Error raised in a task. Ray adds advice to its first argument; the second one keeps the words for the user."""

    def __init__(self, *words: str):
        super().__init__(words[0], words[-1])

    def __str__(self) -> str:
        return self.args[1]


@contextmanager
def keeping_words() -> Iterator[None]:
    """Make a ValueError inside the block, which is part of a task, one whose words reach the driver as they are."""
    try:
        yield
    except ValueError as error:
        raise BadInputError(str(error)) from error


def _store_bytes(split: ShardedSplit, concurrency: int) -> int:
    """Compute the object-store limit of the shards being read, as many waiting, and two at the consumer, times two.

    The factor is two because Ray Data lets the readers use about half of the limit.
    """
    shard_bytes = split.decoded_bytes * max(shard.decoded_rows for shard in split.shards) // split.num_rows
    return 2 * (2 * concurrency + 2) * max(shard_bytes, _SMALLEST_BLOCK)


def _group(split: ShardedSplit, parts: Sequence[Piece]) -> Iterator[list[list[int]]]:
    """Yield groups of at most as many rows as the largest shard has."""
    most, group, num_rows = max(shard.decoded_rows for shard in split.shards), list[list[int]](), 0
    for index, first, last in parts:
        if group and num_rows + last - first > most:
            yield group
            group, num_rows = [], 0
        group.append([int(index), int(first), int(last)])
        num_rows += last - first
    yield group


def _load_in_task(items: pa.Table, *, split: ShardedSplit, pipeline: DataPipeline[Any]) -> pa.Table:
    parts = items["parts"][0].as_py()
    with keeping_words():
        return pa.concat_tables([split.load(index, pipeline, (first, last)) for index, first, last in parts])

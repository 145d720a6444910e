"""Decoded rows in Ray's object store, read once for all workers while these still start."""

import asyncio
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import ActorDiedError

from data_pipelines.contract.pipeline import DataPipeline, Split
from data_pipelines.prepared.ray_dataset import ShardedSplit, ray_dataset
from trainables.ray_train.node_affinity import this_node

MAX_WAITING = 10_000
"""Calls that may wait at the same time; more than a run may have workers."""


class _FutureActor:
    """Actor that holds one result and answers calls once it is set."""

    def __init__(self) -> None:
        self._content: asyncio.Future[Any] = asyncio.get_event_loop().create_future()

    async def set_result(self, content: Any) -> None:
        self._content.set_result(content)

    async def set_exception(self, error: Exception) -> None:
        self._content.set_exception(error)

    async def result(self) -> Any:
        return await self._content


class StoredRows:
    """Handle of the decoded rows. The process that starts the workers fills and owns them; every worker reads them."""

    def __init__(self) -> None:
        actor: Any = ray.remote(_FutureActor)
        options = {"num_cpus": 0, "max_concurrency": MAX_WAITING, "label_selector": this_node()}
        self._future = actor.options(**options).remote()

    def decode(self, splits: dict[Split, ShardedSplit], pipeline: DataPipeline[Any], *, concurrency: int) -> None:
        """Read every shard of the splits, `concurrency` at a time. Raises ValueError for a damaged one."""
        blocks = {
            name: ray_dataset(split, pipeline, split.whole(), concurrency=concurrency).to_arrow_refs()
            for name, split in splits.items()
        }
        self._future.set_result.remote(blocks)

    def fail(self, message: str) -> None:
        """Report that decoding failed: every worker that asks for the rows gets a ValueError with this message."""
        self._future.set_exception.remote(ValueError(message))

    def tables(self) -> dict[Split, list[pa.Table]]:
        """Wait for the rows; returns the tables of each split, in the order of its shards, in shared memory.

        Raises ValueError when decoding failed, and RuntimeError when the actor was lost.
        """
        try:
            blocks: dict[Split, list[Any]] = ray.get(self._future.result.remote())
        except ActorDiedError as error:
            message = "the process that knows where the decoded rows lie was lost; the same command goes on"
            raise RuntimeError(message) from error
        return {name: ray.get(of) for name, of in blocks.items()}

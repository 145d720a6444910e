"""Feed: the only way from stored rows to typed batches; order, shares of the ranks, prefetching."""

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import count
from typing import Any

import pyarrow as pa
import torch

from data_pipelines.contract.pipeline import DataPipeline, Split
from trainables.contract.seeding import build_numpy_generator
from trainables.engine.data.prefetch import read_ahead
from trainables.engine.data.rows import RowSource, Share


class Feed:
    """Batches for one worker. The order follows from (seed, epoch) alone; the remainder of an epoch is dropped."""

    def __init__(
        self,
        pipeline: DataPipeline,
        sources: dict[Split, RowSource],
        *,
        seed: int,
        batch_size: int,
        accumulate: int,
        passes: int = 1,
        rank: int,
        world_size: int,
        device: torch.device,
    ):
        self._pipeline, self._sources, self._device = pipeline, sources, device
        self._seed, self._rank, self._world_size = seed, rank, world_size
        self._micro_size = batch_size // (world_size * accumulate)
        self._accumulate = accumulate
        self._passes, self._steps_per_pass = passes, count_steps(sources["train"].num_rows, batch_size)
        self.steps_per_epoch = passes * self._steps_per_pass
        self.samples_per_epoch = passes * sources["train"].num_rows
        """Samples of an epoch, including the remainders that are dropped."""

    def epoch(self, epoch: int, start_step: int) -> Generator[list[Any], None, None]:
        """Yield the micro-batches of every step of an epoch from `start_step` on, on the device, not yet augmented."""
        first, start_step = divmod(start_step, self._steps_per_pass)
        for number in range(first, self._passes):
            yield from self._pass((epoch - 1) * self._passes + number + 1, start_step)
            start_step = 0

    def _pass(self, number: int, start_step: int) -> Generator[list[Any], None, None]:
        """Yield the steps of one pass over all rows, in its own order; passes count from 1 over the complete run."""
        share = Share(
            seed=self._seed,
            epoch=number,
            rank=self._rank,
            world_size=self._world_size,
            batch_size=self._micro_size,
            num_batches=self._steps_per_pass * self._accumulate,
        )
        start = start_step * self._accumulate
        tables = self._sources["train"].shuffled(share, start, copies=not self._pipeline.aliases_rows)
        batches = map(partial(self._training_batch, number), count(start), tables)
        step: list[Any] = []
        with self._ahead(batches, depth=2 * self._accumulate) as ready:
            for batch in ready:
                step.append(self._to_device(batch))
                if len(step) == self._accumulate:
                    yield step
                    step = []

    def ordered(self, split: Split, batch_size: int | None = None) -> Iterator[Any]:
        """Yield this rank's contiguous share of a split in batches; over all ranks every row comes once."""
        source = self._source(split)
        start = source.num_rows * self._rank // self._world_size
        stop = source.num_rows * (self._rank + 1) // self._world_size
        tables = source.ordered(start, stop, batch_size or self._micro_size)
        with self._ahead(map(self._whole_batch, tables), depth=2) as ready:
            for batch in ready:
                yield self._to_device(batch)

    def first_rows(self, split: Split, num_rows: int) -> Any:
        """Return the first rows of a split, or all when there are fewer, as one batch on the device."""
        source = self._source(split)
        table = next(iter(source.ordered(0, min(num_rows, source.num_rows), num_rows)))
        return self._to_device(self._whole_batch(table))

    def _source(self, split: Split) -> RowSource:
        if split not in self._sources:
            raise ValueError(f"the data have no {split} split, only {', '.join(self._sources)}")
        return self._sources[split]

    def _ahead(self, batches: Iterator[Any], depth: int) -> AbstractContextManager[Iterator[Any]]:
        """Prefetch in a thread for a GPU; on the CPU a batch of rows in memory costs less than a thread."""
        return read_ahead(batches, depth) if self._device.type == "cuda" else nullcontext(batches)

    def _training_batch(self, number: int, index: int, table: pa.Table) -> Any:
        """Make a training batch; its random draws follow from its position alone, so a resumed run repeats them."""
        random = build_numpy_generator(self._seed, "cut", number, self._rank, index)
        return self._pinned(self._pipeline.collate_train(table, random))

    def _whole_batch(self, table: pa.Table) -> Any:
        return self._pinned(self._pipeline.collate(table))

    def _pinned(self, batch: Any) -> Any:
        check_batch(batch, self._pipeline)
        if self._device.type != "cuda":
            return batch
        return {name: tensor.pin_memory() for name, tensor in batch.items()}

    def _to_device(self, batch: Any) -> Any:
        if self._device.type == "cpu":
            return batch
        return {name: tensor.to(self._device, non_blocking=True) for name, tensor in batch.items()}


def check_batch(batch: Any, pipeline: DataPipeline) -> None:
    """Raise ValueError naming the pipeline and the entry when a batch is no flat dict of CPU tensors by name."""
    origin = f"{type(pipeline).__name__}: a batch is a flat dict of tensors by name"
    if not isinstance(batch, dict):
        raise ValueError(f"{origin}, and this one is a {type(batch).__name__}")
    for name, value in batch.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ValueError(f"{origin}, and its entry {name!r} is a {type(value).__name__}; make it a tensor")
        if value.device.type != "cpu":
            raise ValueError(f"{origin}, on the CPU, and its entry {name!r} is on {value.device}; the engine moves it")


def count_steps(num_rows: int, batch_size: int) -> int:
    """Return the number of complete batches in an epoch. Raises ValueError when there is none."""
    if num_rows < batch_size:
        raise ValueError(
            f"the training split has {num_rows} rows, fewer than one batch of training.batch_size={batch_size}; "
            "lower training.batch_size"
        )
    return num_rows // batch_size

"""Feed: the only way from stored rows to typed batches; order, shares of the ranks, prefetching."""

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cached_property, partial
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from data_pipelines.contract.pipeline import DataPipeline, Split
from data_pipelines.contract.row_draws import NumpyDraws, TorchDraws
from trainables.contract.seeding import derive_seed
from trainables.engine.data.prefetch import read_ahead
from trainables.engine.data.row_order import PassOrder, share_bounds
from trainables.engine.data.rows import PlacedRows, RowSource, Share


class MicroBatch(NamedTuple):
    """This rank's part of a global batch, or a part of that."""

    content: Any
    """The batch, on the device, not yet augmented."""
    places: np.ndarray
    """Place of each row in the global batch, int64."""


class Feed:
    """Batches for one worker. The order follows from (seed, pass) alone; the remainder of a pass is dropped."""

    def __init__(
        self,
        pipeline: DataPipeline,
        sources: dict[Split, RowSource],
        *,
        seed: int,
        batch_size: int,
        accumulate: int,
        passes: int = 1,
        shuffle_window: int = 4,
        rank: int,
        world_size: int,
        device: torch.device,
    ):
        self._pipeline, self._sources, self._device = pipeline, sources, device
        self._seed, self._rank, self._world_size = seed, rank, world_size
        self._batch_size, self._accumulate, self._shuffle_window = batch_size, accumulate, shuffle_window
        bounds = share_bounds(batch_size, world_size * accumulate)
        mine = [micro * world_size + rank for micro in range(accumulate)]
        self._parts = [(bounds[part], bounds[part + 1]) for part in mine]
        self._ordered_size = -(-batch_size // (world_size * accumulate))
        self._passes = passes
        self._num_rows = sources["train"].num_rows if "train" in sources else 0  # data for an evaluation alone
        self.num_steps: int | None = None
        """Steps of the whole training, as far as they are known: nothing is read ahead for later ones."""
        self._batches: Generator[MicroBatch, None, None] | None = None
        """Micro-batches from the step `_next_step` of the training on."""
        self._next_step = 0
        self._groups: dict[int, tuple[pa.Table, Any]] = {}
        """By the first place of a micro-batch: the table that the last one was part of, and its batch."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch. Raises ValueError when the training rows make no step."""
        return self._passes * self._steps_per_pass

    @property
    def samples_per_epoch(self) -> int:
        """Samples of an epoch, including the remainders that are dropped."""
        return self._passes * self._num_rows

    @cached_property
    def _steps_per_pass(self) -> int:
        return count_steps(self._num_rows, self._batch_size)

    def epoch(self, epoch: int, start_step: int) -> Generator[list[MicroBatch], None, None]:
        """Yield the micro-batches of every step of an epoch from `start_step` on.

        The next epoch goes on with what was read ahead meanwhile.
        """
        for step in range((epoch - 1) * self.steps_per_epoch + start_step, epoch * self.steps_per_epoch):
            if self._batches is None or self._next_step != step:
                self.close()
                self._batches = self._batches_from(step)
            batches = [next(self._batches) for _ in range(self._accumulate)]
            self._next_step = step + 1
            yield batches

    def close(self) -> None:
        """Forget what was read ahead."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None
        self._groups.clear()

    def _batches_from(self, first_step: int) -> Generator[MicroBatch, None, None]:
        """Yield the micro-batches of the training from one of its steps on, pass after pass."""
        source, per_pass = self._sources["train"], self._steps_per_pass
        first_pass, start = divmod(first_step, per_pass)
        numbers = count(first_pass) if self.num_steps is None else range(first_pass, -(-self.num_steps // per_pass))
        shares = (Share(self._order_of(number), self._parts) for number in numbers)
        rows = source.shuffled(shares, start, copies=not self._pipeline.aliases_rows)
        steps = (step for step in count(first_step) for _ in range(self._accumulate))
        ahead = self._ahead(map(self._training_batch, steps, rows), depth=2 * self._accumulate)
        with closing(rows), ahead as ready:  # closed by name: an error would keep it, and its threads, alive
            for batch in ready:
                yield MicroBatch(self._to_device(batch.content), batch.places)

    def _order_of(self, number: int) -> PassOrder:
        """Return the order of a pass; they are numbered from 0 over the complete training."""
        shards = self._sources["train"].shards
        return PassOrder(
            shards,
            seed=self._seed,
            number=number + 1,
            batch_size=self._batch_size,
            window_rows=-(-self._shuffle_window * shards.num_rows // len(shards.sizes)),
        )

    def draws(self, purpose: str, epoch: int, step_in_epoch: int, places: np.ndarray) -> TorchDraws:
        """Return random draws for rows of a step, on the device; the same for a row on any worker.

        `purpose` names a stream of numbers, epochs count from 1, steps from 0, and `places` are those in the global
        batch.
        """
        return TorchDraws(places, partial(derive_seed, self._seed, purpose, epoch, step_in_epoch), self._device)

    def weigh(self, batch: MicroBatch) -> float:
        """Return the weight of a micro-batch's mean in this rank's loss, so that each row of the step counts the same.

        Gradients are averaged over the ranks afterwards.
        """
        return len(batch.places) * self._world_size / self._batch_size

    def ordered(self, split: Split, batch_size: int | None = None) -> Iterator[Any]:
        """Yield this rank's contiguous share of a split in batches; over all ranks every row comes once."""
        source = self._source(split)
        start, stop = share_bounds(source.num_rows, self._world_size)[self._rank : self._rank + 2]
        tables = source.ordered(start, stop, batch_size or self._ordered_size)
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

    def _training_batch(self, step: int, rows: PlacedRows) -> MicroBatch:
        """Make a batch of a step of the training; the draws for a row follow from its place in the run alone."""
        number, place = divmod(step, self._steps_per_pass)
        draws = NumpyDraws(rows.places, partial(derive_seed, self._seed, "cut", number + 1, place))
        return MicroBatch(self._pinned(self._collate_train(rows, draws)), rows.places)

    def _collate_train(self, rows: PlacedRows, draws: NumpyDraws) -> Any:
        """Make a batch, as a part of a larger one where rows are independent: that takes less time for each."""
        if rows.group is None or not self._pipeline.collates_by_row:
            return self._pipeline.collate_train(rows.table, draws)
        table, first = rows.group
        known = self._groups.get(int(rows.places[0]))
        if known is None or known[0] is not table:
            known = self._groups[int(rows.places[0])] = table, self._pipeline.collate(table)
        return {name: tensor[first : first + len(rows.places)] for name, tensor in known[1].items()}

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

"""Row sources: the rows of one split for a worker, resident in memory or streamed shard by shard."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa

from data_pipelines.prepared.rechunk import rebatch, regroup
from trainables.contract.seeding import build_numpy_generator
from trainables.engine.data.arrow_gather import RowGatherer


class RowSource(Protocol):
    """The rows of one split in a worker."""

    num_rows: int

    def shuffled(self, share: "Share", start_batch: int, *, copies: bool = True) -> Iterator[pa.Table]:
        """Yield the batches of one epoch for one rank, from `start_batch` on, each of `share.batch_size` rows.

        With `copies=False` a batch may alias the memory of the complete split and is read-only; otherwise the caller
        may write into it.
        """
        ...

    def ordered(self, start: int, stop: int, batch_size: int) -> Iterator[pa.Table]:
        """Yield rows [start, stop) in stored order, in batches that are copies; the last may be smaller."""
        ...


@dataclass(frozen=True)
class Share:
    """One rank's share of an epoch: which rows, in what batches."""

    seed: int
    epoch: int
    rank: int
    world_size: int
    batch_size: int
    """Rows of one batch of this rank."""
    num_batches: int
    """Batches of this rank in the epoch, the same on all ranks."""


def permutation(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    """Return the order of all rows in an epoch, the same on every rank."""
    return build_numpy_generator(seed, "order", epoch).permutation(num_rows)


class ResidentRows:
    """A split kept decoded in memory, as Arrow tables that may lie in Ray's shared object store."""

    def __init__(self, tables: Sequence[pa.Table]):
        self._tables = [table.combine_chunks() for table in tables if table.num_rows]
        self._gatherer = RowGatherer(self._tables) if self._tables else None
        self.num_rows = sum(table.num_rows for table in self._tables)

    def take(self, indices: np.ndarray, *, copies: bool = True) -> pa.Table:
        """Return the rows with these indices, in ascending order.

        With `copies=False` the rows alias the stored tables, each row in a chunk of its own.
        """
        assert self._gatherer, "there are no rows"
        indices, starts = np.sort(indices), self._gatherer.starts
        cuts = np.searchsorted(indices, starts)
        picks = [
            (number, indices[low:high] - starts[number])
            for number, (low, high) in enumerate(pairwise(cuts))
            if high > low
        ]
        if copies:
            return self._gatherer.gather(picks)
        return pa.concat_tables([self._tables[number].slice(row, 1) for number, rows in picks for row in rows.tolist()])

    def shuffled(self, share: Share, start_batch: int, *, copies: bool = True) -> Iterator[pa.Table]:
        """Yield batches: batch k of rank r is the r-th part of the k-th global batch of one permutation of all rows."""
        order = permutation(share.seed, share.epoch, self.num_rows)
        for index in range(start_batch, share.num_batches):
            first = (index * share.world_size + share.rank) * share.batch_size
            yield self.take(order[first : first + share.batch_size], copies=copies)

    def ordered(self, start: int, stop: int, batch_size: int) -> Iterator[pa.Table]:
        """Yield rows [start, stop) in stored order."""
        for first in range(start, stop, batch_size):
            yield self.take(np.arange(first, min(first + batch_size, stop)))


def copied(table: pa.Table) -> pa.Table:
    """Copy a table into memory of its own."""
    return ResidentRows([table]).take(np.arange(table.num_rows)) if table.num_rows else table


@dataclass(frozen=True)
class Piece:
    """Consecutive rows inside one shard."""

    shard: int
    start: int
    stop: int


@dataclass(frozen=True)
class ShuffleWindow:
    """Consecutive pieces that are shuffled together; `start` and `stop` count rows of the rank's epoch."""

    number: int
    start: int
    stop: int
    pieces: Sequence[Piece]


class StreamedRows:
    """A split that is read again in every epoch, shard by shard, in memory that does not grow with its size.

    Every epoch the shards are put in a new order and the row sequence is cut into equal parts for the ranks; rows are
    shuffled within windows of a few shards. Both follow from (seed, epoch), so any batch can be found again.
    """

    def __init__(self, shard_rows: Sequence[int], read: Callable[[Sequence[int]], Iterator[pa.Table]], *, window: int):
        """Describe the shards of a split.

        Args:
            shard_rows: Rows of each shard.
            read: Yields the rows of the given shards in that order, in tables of any size, which may be kept.
            window: Number of shards that are shuffled together.
        """
        self._shard_rows, self._read, self._window = [int(rows) for rows in shard_rows], read, window
        self.num_rows = sum(self._shard_rows)

    def shuffled(self, share: Share, start_batch: int, *, copies: bool = True) -> Iterator[pa.Table]:
        """Yield the batches of this rank's part of the shard sequence, shuffled within windows."""
        return rebatch(self._chunks(share, start_batch * share.batch_size, copies=copies), share.batch_size)

    def ordered(self, start: int, stop: int, batch_size: int) -> Iterator[pa.Table]:
        """Yield rows [start, stop) in stored order."""
        pieces = self._pieces(range(len(self._shard_rows)), start, stop)
        for batch in rebatch(self._rows_of(pieces), batch_size):
            yield batch.take(pa.array(np.arange(batch.num_rows)))

    def _chunks(self, share: Share, position: int, *, copies: bool) -> Iterator[pa.Table]:
        """Yield shuffled rows from `position` of the rank's epoch on, cut where a batch or a window ends."""
        order = build_numpy_generator(share.seed, "shards", share.epoch).permutation(len(self._shard_rows))
        num_rows = share.num_batches * share.batch_size
        pieces = self._pieces(order.tolist(), share.rank * num_rows, (share.rank + 1) * num_rows)
        windows = [window for window in _cut_into_windows(pieces, self._window) if window.stop > position]
        tables = self._rows_of([piece for window in windows for piece in window.pieces])
        for window in windows:
            rows = ResidentRows([next(tables) for _ in window.pieces])
            random = build_numpy_generator(share.seed, "window", share.epoch, share.rank, window.number)
            shuffled = random.permutation(rows.num_rows)
            while position < window.stop:
                stop = min(position + share.batch_size - position % share.batch_size, window.stop)
                # the last rows of a window are copied, so that it is freed before the next one is read
                is_copied = copies or stop == window.stop
                yield rows.take(shuffled[position - window.start : stop - window.start], copies=is_copied)
                position = stop
            del rows

    def _pieces(self, order: Sequence[int], start: int, stop: int) -> list[Piece]:
        """Find the pieces that hold rows [start, stop) of the shards in `order`."""
        pieces, first = [], 0
        for shard in order:
            last = first + self._shard_rows[shard]
            if last > start and first < stop:
                pieces.append(Piece(shard, max(start - first, 0), min(stop, last) - first))
            first = last
        return pieces

    def _rows_of(self, pieces: Sequence[Piece]) -> Iterator[pa.Table]:
        """Yield the rows of the pieces, one table for each."""
        wholes = regroup(self._read([piece.shard for piece in pieces]), [self._shard_rows[p.shard] for p in pieces])
        for piece in pieces:
            yield next(wholes).slice(piece.start, piece.stop - piece.start)  # a name or zip would keep it


def _cut_into_windows(pieces: Sequence[Piece], size: int) -> Iterator[ShuffleWindow]:
    start = 0
    for number, first in enumerate(range(0, len(pieces), size)):
        members = pieces[first : first + size]
        stop = start + sum(piece.stop - piece.start for piece in members)
        yield ShuffleWindow(number, start, stop, members)
        start = stop

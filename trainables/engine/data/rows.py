"""Row sources: the rows of one split for a worker, resident in memory or streamed shard by shard."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from data_pipelines.prepared.ray_dataset import Piece
from data_pipelines.prepared.rechunk import rebatch, regroup
from trainables.engine.data.arrow_gather import RowGatherer
from trainables.engine.data.row_order import PassOrder, Shards

BLOCK_BYTES = 64 * 2**20
"""Streamed rows are joined to tables of about this size; each row of a batch is taken from one of them."""


class PlacedRows(NamedTuple):
    """Rows of a micro-batch."""

    table: pa.Table
    places: np.ndarray
    """Place of each row in the global batch, int64."""


@dataclass(frozen=True)
class Share:
    """One rank's share of a pass."""

    order: PassOrder
    parts: Sequence[tuple[int, int]]
    """First and last place, that one excluded, of each micro-batch of a step."""


class RowSource(Protocol):
    """The rows of one split in a worker."""

    shards: Shards

    @property
    def num_rows(self) -> int:
        """Rows of all shards."""
        ...

    def shuffled(self, share: Share, start_step: int, *, copies: bool = True) -> Iterator[PlacedRows]:
        """Yield the micro-batches of one pass for one rank, from `start_step` on.

        With `copies=False` a batch may alias the memory of the complete split and is read-only; otherwise the caller
        may write into it.
        """
        ...

    def ordered(self, start: int, stop: int, batch_size: int) -> Iterator[pa.Table]:
        """Yield rows [start, stop) in stored order, in batches that are copies; the last may be smaller."""
        ...


class ResidentRows:
    """A split kept decoded in memory, as Arrow tables that may lie in Ray's shared object store."""

    def __init__(self, tables: Sequence[pa.Table], shards: Shards | None = None):
        """Keep the tables.

        Args:
            tables: The rows.
            shards: The shards that they come from; by default each table is one.
        """
        self._tables = [table.combine_chunks() for table in tables if table.num_rows]
        self._gatherer = RowGatherer(self._tables) if self._tables else None
        sizes = tuple(table.num_rows for table in self._tables)
        self.shards = shards or Shards(sizes, sizes)

    @property
    def num_rows(self) -> int:
        """Rows of all tables."""
        return self.shards.num_rows

    def take(self, indices: np.ndarray, *, copies: bool = True) -> pa.Table:
        """Return the rows with these indices, which ascend.

        With `copies=False` the rows alias the stored tables, each row in a chunk of its own.
        """
        assert self._gatherer, "there are no rows"
        starts = self._gatherer.starts
        cuts = np.searchsorted(indices, starts)
        picks = [
            (number, indices[low:high] - starts[number])
            for number, (low, high) in enumerate(pairwise(cuts))
            if high > low
        ]
        if copies:
            return self._gatherer.gather(picks)
        return pa.concat_tables([self._tables[number].slice(row, 1) for number, rows in picks for row in rows.tolist()])

    def take_placed(self, indices: np.ndarray, first_place: int, *, copies: bool) -> PlacedRows:
        """Return rows in the order in which they lie, with their places; `indices` are those of consecutive places."""
        ascending = np.argsort(indices)
        return PlacedRows(self.take(indices[ascending], copies=copies), first_place + ascending)

    def shuffled(self, share: Share, start_step: int, *, copies: bool = True) -> Iterator[PlacedRows]:
        """Yield the micro-batches of a rank."""
        for step in range(start_step, share.order.num_batches):
            for first, last in share.parts:
                yield self.take_placed(share.order.rows(step, first, last), first, copies=copies)

    def ordered(self, start: int, stop: int, batch_size: int) -> Iterator[pa.Table]:
        """Yield rows [start, stop) in stored order."""
        for first in range(start, stop, batch_size):
            yield self.take(np.arange(first, min(first + batch_size, stop)))


def copied(table: pa.Table) -> pa.Table:
    """Copy a table into memory of its own."""
    return ResidentRows([table]).take(np.arange(table.num_rows)) if table.num_rows else table


def _joined(tables: list[pa.Table]) -> list[pa.Table]:
    """Return the same rows in few tables of about `BLOCK_BYTES`, and empty the list: rows of few are quick to take."""
    blocks, waiting, size = [], list[pa.Table](), 0
    while tables:
        waiting.append(tables.pop(0))
        size += waiting[-1].nbytes
        if size >= BLOCK_BYTES or not tables:
            blocks.append(pa.concat_tables(waiting).combine_chunks())
            waiting, size = [], 0
    return blocks


ReadPieces = Callable[[Sequence[Piece]], Iterator[pa.Table]]
"""Yields the rows of the given pieces in that order, in tables of any size, which may be kept."""


class StreamedRows:
    """A split that is read again in every pass, in memory that does not grow with its size.

    A rank reads its part of each window of the pass; see `row_order`.
    """

    def __init__(self, shards: Shards, read: ReadPieces):
        self.shards, self._read = shards, read

    @property
    def num_rows(self) -> int:
        """Rows of all shards."""
        return self.shards.num_rows

    def shuffled(self, share: Share, start_step: int, *, copies: bool = True) -> Iterator[PlacedRows]:
        """Yield the micro-batches of a rank."""
        order, windows, step = share.order, [], start_step
        while step < order.num_batches:
            windows.append(order.window_of(step))
            step = windows[-1].first_batch + windows[-1].num_batches
        cuts = [[order.cuts(window, *part) for part in share.parts] for window in windows]
        tables = self._tables_of([[piece for of in parts for piece in order.pieces(of)] for parts in cuts])
        for window, parts in zip(windows, cuts, strict=True):
            rows = ResidentRows(_joined(next(tables)))
            offsets = np.cumsum([0, *(sum(piece.num_rows for piece in order.pieces(of)) for of in parts)])
            found = [first + order.places_in_pieces(of, window) for first, of in zip(offsets, parts, strict=False)]
            for step in range(max(start_step, window.first_batch), window.first_batch + window.num_batches):
                # the last rows of a window are copied, so that it is freed before the next one is read
                is_copied = copies or step == window.first_batch + window.num_batches - 1
                for (first, _), numbers in zip(share.parts, found, strict=True):
                    yield rows.take_placed(numbers[:, step - window.first_batch], first, copies=is_copied)
            del rows

    def ordered(self, start: int, stop: int, batch_size: int) -> Iterator[pa.Table]:
        """Yield rows [start, stop) in stored order."""
        pieces = self.shards.between(start, stop)
        tables = regroup(self._read(pieces), [piece.num_rows for piece in pieces])
        for batch in rebatch(tables, batch_size):
            yield batch.take(pa.array(np.arange(batch.num_rows)))

    def _tables_of(self, needed: Sequence[Sequence[Piece]]) -> Iterator[list[pa.Table]]:
        """Yield the tables of each group of pieces; one that is needed twice in a row is read once."""
        reads = [piece for piece, _ in groupby(piece for pieces in needed for piece in pieces)]
        tables = regroup(self._read(reads), [read.num_rows for read in reads])
        last: tuple[Piece, pa.Table] | None = None
        for pieces in needed:
            found = []
            for piece in pieces:
                last = last if last and last[0] == piece else (piece, next(tables))
                found.append(last[1])
            yield found
            del found

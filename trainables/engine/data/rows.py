"""Row sources: the rows of one split for a worker, resident in memory or streamed shard by shard."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice, pairwise, repeat, tee
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from data_pipelines.prepared.ray_dataset import Piece
from data_pipelines.prepared.rechunk import rebatch, regroup
from trainables.engine.data.arrow_gather import BatchBuffer, RowGatherer
from trainables.engine.data.row_order import Cut, PassOrder, Shards, Window

GROUP_BYTES = 4 * 2**20
"""Streamed batches that are copied are parts of tables of about this size."""


class PlacedRows(NamedTuple):
    """Rows of a micro-batch."""

    table: pa.Table
    places: np.ndarray
    """Place of each row in the global batch, int64."""
    group: tuple[pa.Table, int] | None = None
    """Table of the rows of several batches, this one among them, if there is one, and its first row there."""


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

    def shuffled(
        self, shares: Iterable[Share], start_step: int, *, copies: bool = True
    ) -> Generator[PlacedRows, None, None]:
        """Yield the micro-batches of passes, one after another, for one rank, from `start_step` of the first on.

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
        """Keep the tables, which come from these shards; by default each table is one."""
        self._tables = [table.combine_chunks() for table in tables if table.num_rows]
        self._gatherer = RowGatherer(self._tables) if self._tables else None
        sizes = tuple(table.num_rows for table in self._tables)
        self.shards = shards or Shards(sizes, sizes)

    @property
    def num_rows(self) -> int:
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

    def shuffled(
        self, shares: Iterable[Share], start_step: int, *, copies: bool = True
    ) -> Generator[PlacedRows, None, None]:
        for share in shares:
            for step in range(start_step, share.order.num_batches):
                for first, last in share.parts:
                    yield self.take_placed(share.order.rows(step, first, last), first, copies=copies)
            start_step = 0

    def ordered(self, start: int, stop: int, batch_size: int) -> Iterator[pa.Table]:
        for first in range(start, stop, batch_size):
            yield self.take(np.arange(first, min(first + batch_size, stop)))


def copied(table: pa.Table) -> pa.Table:
    """Copy a table into memory of its own."""
    return ResidentRows([table]).take(np.arange(table.num_rows)) if table.num_rows else table


ReadPieces = Callable[[Iterable[Sequence[Piece]]], Iterator[pa.Table]]
"""Yields the rows of the given pieces, pass after pass in that order, in tables of any size, which may be kept. It may
ask for the pieces of a pass while rows of the one before are still to come."""


@dataclass(frozen=True)
class _Pass:
    """Rows that a rank needs of a pass, from a step on."""

    share: Share
    start_step: int
    windows: Sequence[Window]
    cuts: Sequence[Sequence[Sequence[Cut]]]
    """Of each window and micro-batch of a step."""

    @classmethod
    def of(cls, share: Share, start_step: int) -> "_Pass":
        order, windows, step = share.order, list[Window](), start_step
        while step < order.num_batches:
            windows.append(order.window_of(step))
            step = windows[-1].first_batch + windows[-1].num_batches
        return cls(share, start_step, windows, [[order.cuts(each, *part) for part in share.parts] for each in windows])

    @property
    def pieces(self) -> list[Piece]:
        """Pieces in the order of reading."""
        return [piece for parts in self.cuts for of in parts for piece in self.share.order.pieces(of)]

    def steps_in(self, window: Window) -> range:
        """Return the steps of a window that are to come."""
        return range(max(self.start_step, window.first_batch), window.first_batch + window.num_batches)


class StreamedRows:
    """A split that is read again in every pass, in memory that does not grow with its size.

    A rank reads its part of each window of a pass, see `row_order`. Where `read` asks early, the first window of a pass
    is read while the last of the one before is used.
    """

    def __init__(self, shards: Shards, read: ReadPieces):
        self.shards, self._read = shards, read

    @property
    def num_rows(self) -> int:
        return self.shards.num_rows

    def shuffled(
        self, shares: Iterable[Share], start_step: int, *, copies: bool = True
    ) -> Generator[PlacedRows, None, None]:
        starts = chain([start_step], repeat(0))
        passes, ahead = tee(_Pass.of(share, start) for share, start in zip(shares, starts, strict=False))
        tables = self._tables_of(each.pieces for each in ahead)
        batches_of = self._arranged if copies else self._aliasing
        for each in passes:
            for window, cuts in zip(each.windows, each.cuts, strict=True):
                yield from batches_of(each, window, cuts, tables)

    def _arranged(
        self, of: _Pass, window: Window, cuts: Sequence[Sequence[Cut]], tables: Iterator[pa.Table]
    ) -> Iterator[PlacedRows]:
        """Yield the batches of a window, each a part of the memory in which its rows were put together."""
        found = [
            _Groups(_arrange(of.share.order, each, window.num_batches, last - first, tables), window.num_batches)
            for each, (first, last) in zip(cuts, of.share.parts, strict=True)
        ]
        for step in of.steps_in(window):
            for (first, last), groups in zip(of.share.parts, found, strict=True):
                table, row = groups.find(step - window.first_batch)
                yield PlacedRows(table.slice(row, last - first), np.arange(first, last), (table, row))

    def _aliasing(
        self, of: _Pass, window: Window, cuts: Sequence[Sequence[Cut]], tables: Iterator[pa.Table]
    ) -> Iterator[PlacedRows]:
        """Yield the batches of a window, whose rows alias what was read."""
        order = of.share.order
        needed = [piece.num_rows for each in cuts for piece in order.pieces(each)]
        rows = ResidentRows(list(islice(tables, len(needed))))
        offsets = np.cumsum([0, *(sum(piece.num_rows for piece in order.pieces(each)) for each in cuts)])
        found = [first + order.places_in_pieces(each, window) for first, each in zip(offsets, cuts, strict=False)]
        for step in of.steps_in(window):
            # the last rows of a window are copied, so that it is freed before the next one is read
            is_last = step == window.first_batch + window.num_batches - 1
            for (first, _), numbers in zip(of.share.parts, found, strict=True):
                yield rows.take_placed(numbers[:, step - window.first_batch], first, copies=is_last)

    def ordered(self, start: int, stop: int, batch_size: int) -> Iterator[pa.Table]:
        pieces = self.shards.between(start, stop)
        tables = regroup(self._read([pieces]), [piece.num_rows for piece in pieces])
        for batch in rebatch(tables, batch_size):
            yield batch.take(pa.array(np.arange(batch.num_rows)))

    def _tables_of(self, passes: Iterable[Sequence[Piece]]) -> Iterator[pa.Table]:
        """Yield the table of each piece; one that is needed twice in a row is read once."""
        needed, once = tee(passes)
        asked, sizes = tee([piece for piece, _ in groupby(pieces)] for pieces in once)
        tables = regroup(self._read(asked), (piece.num_rows for pieces in sizes for piece in pieces))
        for pieces in needed:
            for _, equal in groupby(pieces):
                table = next(tables)
                for _ in equal:
                    yield table
                del table


class _Groups:
    """Batches of a window in tables of several; the last is a copy, so that the window is freed before the next one."""

    def __init__(self, rows: pa.Table, num_batches: int) -> None:
        self._rows, self._num_batches = rows, num_batches
        self._batch_rows = rows.num_rows // num_batches
        self._most = min(max(GROUP_BYTES * num_batches // max(rows.nbytes, 1), 1), num_batches)
        self._number = -1

    def find(self, batch: int) -> tuple[pa.Table, int]:
        """Return the table that holds a batch, and its first row there; batches are asked for in order."""
        number, place = divmod(batch, self._most)
        if number != self._number:
            size = self._most * self._batch_rows
            self._number, self._table = number, self._rows.slice(number * size, size)
            if (number + 1) * self._most >= self._num_batches:
                self._table = copied(self._table)
                self._rows = self._table.slice(0, 0)
        return self._table, place * self._batch_rows


def _arrange(
    order: PassOrder, cuts: Sequence[Cut], num_batches: int, num_places: int, tables: Iterator[pa.Table]
) -> pa.Table:
    """Put the rows of some places of each batch of a window together, batch by batch."""
    buffer = BatchBuffer(num_batches * num_places)
    for cut in cuts:
        rows = order.rows_of(cut)
        place, batch = np.divmod(np.arange(cut.place, cut.place + len(rows)), num_batches)
        buffer.put(next(tables), rows, batch * num_places + place)
    return buffer.finish()

"""Order of a split's rows in a pass: the same global batches for any number of workers, resident or streamed.

Rows lie in pieces, which are read as a whole. The rows of a pass form a sequence: the pieces of all shards in random
order, the rows of each in random order, begun at a random row. It is cut into windows of whole batches. In a window of
m batches, place j of batch k is row j * m + k: a batch takes rows evenly from the whole window, and a worker that
holds neighbouring places needs neighbouring rows, whatever the batch. So a streaming worker reads its part of each
window and no more. (MosaicML's streaming calls the property elastic determinism.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from data_pipelines.prepared.ray_dataset import Piece
from trainables.contract.seeding import build_numpy_generator


@dataclass(frozen=True)
class Shards:
    """Shards of a split, each in pieces of consecutive rows."""

    sizes: tuple[int, ...]
    """Rows of each shard."""
    piece_rows: tuple[int, ...]
    """Rows of the pieces of each shard; its last piece may have fewer."""

    @cached_property
    def num_rows(self) -> int:
        return sum(self.sizes)

    @cached_property
    def starts(self) -> np.ndarray:
        """Number of rows before each shard."""
        return np.cumsum([0, *self.sizes], dtype=np.int64)[:-1]

    @cached_property
    def pieces(self) -> list[Piece]:
        """All pieces, in stored order."""
        return [
            Piece(shard, first, min(first + length, size))
            for shard, (size, length) in enumerate(zip(self.sizes, self.piece_rows, strict=True))
            for first in range(0, size, max(length, 1))
        ]

    def between(self, start: int, stop: int) -> list[Piece]:
        """Return rows [start, stop) in stored order, as the part of each shard."""
        bounds = [
            Piece(shard, max(start - first, 0), min(stop - first, size))
            for shard, (first, size) in enumerate(zip(self.starts.tolist(), self.sizes, strict=True))
        ]
        return [piece for piece in bounds if piece.start < piece.stop]


@dataclass(frozen=True)
class Window:
    """Consecutive batches whose rows are mixed."""

    first_batch: int
    num_batches: int


@dataclass(frozen=True)
class Cut:
    """Part of a piece: which of its shuffled rows."""

    number: int
    """Number of the piece in stored order."""
    low: int
    high: int
    place: int
    """Number of its first row among the rows at some places of all batches of a window, place by place."""


class PassOrder:
    """Order of all rows in one pass."""

    def __init__(self, shards: Shards, *, seed: int, number: int, batch_size: int, window_rows: int) -> None:
        """Draw the order of the pieces.

        A global batch has `batch_size` rows, and about `window_rows` are mixed, at least those of a batch.
        """
        self._shards, self._seed, self._number = shards, seed, number
        self.batch_size = batch_size
        self.num_batches = shards.num_rows // batch_size
        self._num_windows = max(1, round(self.num_batches * batch_size / max(window_rows, batch_size)))
        random = build_numpy_generator(seed, "order", number)
        self._order = random.permutation(len(shards.pieces))
        self._first = int(random.integers(shards.num_rows))
        self._ends = np.cumsum([shards.pieces[number].num_rows for number in self._order.tolist()])
        self._known: tuple[Window, np.ndarray] | None = None

    def window_of(self, batch: int) -> Window:
        """Return the window of a batch; the numbers of batches of two windows differ by one at most."""
        number = ((batch + 1) * self._num_windows - 1) // self.num_batches
        first, last = (count * self.num_batches // self._num_windows for count in (number, number + 1))
        return Window(first, last - first)

    def rows(self, batch: int, first_place: int, last_place: int) -> np.ndarray:
        """Return the rows, by their number in the split, at some places of a batch."""
        window = self.window_of(batch)
        if self._known is None or self._known[0] != window:
            self._known = window, self._rows_of(window)
        return self._known[1][first_place:last_place, batch - window.first_batch]

    def cuts(self, window: Window, first_place: int, last_place: int) -> list[Cut]:
        """Return where the rows at some places of all batches of a window lie, in the order of reading.

        That is the stored order, but for the first and the last piece, which the rows before and behind need too.
        """
        first = window.first_batch * self.batch_size + self._first
        start, stop = first + first_place * window.num_batches, first + last_place * window.num_batches
        num_rows = self._shards.num_rows
        if start < num_rows < stop:
            found = [*self._cut(start, num_rows, 0), *self._cut(0, stop - num_rows, num_rows - start)]
        else:
            found = self._cut(start % num_rows, (stop - 1) % num_rows + 1, 0)
        return [*found[:1], *sorted(found[1:-1], key=lambda cut: cut.number), *found[1:][-1:]]

    def pieces(self, cuts: Sequence[Cut]) -> list[Piece]:
        """Return the pieces that are to be read."""
        return [self._shards.pieces[cut.number] for cut in cuts]

    def places_in_pieces(self, cuts: Sequence[Cut], window: Window) -> np.ndarray:
        """Return where the rows are among all rows of the `pieces`, [places, batches]."""
        sizes = [piece.num_rows for piece in self.pieces(cuts)]
        return self._in_places(cuts, np.cumsum([0, *sizes]), window)

    def rows_of(self, cut: Cut) -> np.ndarray:
        """Return the rows of a cut by their number in its piece, in the order of the pass."""
        random = build_numpy_generator(self._seed, "piece", self._number, cut.number)
        return random.permutation(self._shards.pieces[cut.number].num_rows)[cut.low : cut.high]

    def _rows_of(self, window: Window) -> np.ndarray:
        cuts = self.cuts(window, 0, self.batch_size)
        firsts = [self._shards.starts[piece.shard] + piece.start for piece in self.pieces(cuts)]
        return self._in_places(cuts, firsts, window)

    def _in_places(self, cuts: Sequence[Cut], firsts: Sequence[int] | np.ndarray, window: Window) -> np.ndarray:
        """Return the rows of all cuts, [places, batches], each counted from the first row of its piece."""
        found = np.empty(sum(cut.high - cut.low for cut in cuts), np.int64)
        for first, cut in zip(firsts, cuts, strict=False):
            found[cut.place : cut.place + cut.high - cut.low] = first + self.rows_of(cut)
        return found.reshape(-1, window.num_batches)

    def _cut(self, start: int, stop: int, first_place: int) -> list[Cut]:
        found: list[Cut] = []
        begin = start
        place = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            number, end = int(self._order[place]), int(self._ends[place])
            offset = end - self._shards.pieces[number].num_rows
            found.append(Cut(number, start - offset, min(stop, end) - offset, first_place + start - begin))
            start, place = end, place + 1
        return found


def share_bounds(num_rows: int, num_parts: int) -> list[int]:
    """Return the places at which rows are cut into parts that differ by a row at most, with both ends."""
    return [part * num_rows // num_parts for part in range(num_parts + 1)]

"""Rows as workers see them: each once, the same for any number of workers, and found again at any step."""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
import pyarrow as pa
import pytest

from trainables.engine.data.row_order import PassOrder, Piece, share_bounds
from trainables.engine.data.row_order import Shards as Sizes
from trainables.engine.data.rows import PlacedRows, ResidentRows, RowSource, Share, StreamedRows

AWKWARD = [
    pytest.param([7, 1, 5, 12, 3, 1, 8], id="uneven"),
    pytest.param([4, 4, 4, 4], id="even"),
    pytest.param([37], id="one-shard"),
    pytest.param([1] * 23, id="single-rows"),
    pytest.param([1, 30, 1, 2], id="one-large"),
]


def table_of(values: Sequence[int]) -> pa.Table:
    return pa.table({"row": pa.array(list(values), pa.int64())})


def numbers(tables: Iterator[pa.Table]) -> list[list[int]]:
    return [table["row"].to_pylist() for table in tables]


def placed(batches: Iterator[PlacedRows]) -> list[dict[int, int]]:
    """The row at each place of each micro-batch."""
    return [dict(zip(each.places.tolist(), each.table["row"].to_pylist(), strict=True)) for each in batches]


def flat(batches: Sequence[Sequence[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


class Shards:
    """Shards whose rows are numbered through; `read` hands them out in tables of `most` rows and counts the rows."""

    def __init__(self, sizes: Sequence[int], most: int = 1000, piece_rows: int = 1000):
        ends = np.cumsum(sizes).tolist()
        self.tables = [table_of(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]
        self.sizes = Sizes(tuple(sizes), tuple(min(size, piece_rows) for size in sizes))
        self.most, self.num_read, self.pieces = most, 0, list[Piece]()

    def read(self, passes: Iterable[Sequence[Piece]]) -> Iterator[pa.Table]:
        for piece in chain.from_iterable(passes):
            self.pieces.append(piece)
            self.num_read += piece.num_rows
            table = self.tables[piece.shard].slice(piece.start, piece.num_rows)
            for first in range(0, table.num_rows, self.most):
                yield table.slice(first, self.most)

    def streamed(self) -> StreamedRows:
        return StreamedRows(self.sizes, self.read)

    def resident(self) -> ResidentRows:
        return ResidentRows(self.tables, self.sizes)


def share_of(
    rows: RowSource,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    accumulate: int = 1,
    *,
    window: int = 10,
    number: int = 1,
    seed: int = 0,
) -> Share:
    """As the feed makes it."""
    order = PassOrder(rows.shards, seed=seed, number=number, batch_size=batch_size, window_rows=window)
    bounds = share_bounds(batch_size, world_size * accumulate)
    mine = [micro * world_size + rank for micro in range(accumulate)]
    return Share(order, [(bounds[part], bounds[part + 1]) for part in mine])


def by_step(rows: RowSource, batch_size: int, world_size: int, accumulate: int = 1, **settings: int) -> list[dict]:
    """The row at each place of the global batches, over all ranks and micro-batches."""
    steps: list[dict[int, int]] = []
    for rank in range(world_size):
        share = share_of(rows, batch_size, rank, world_size, accumulate, **settings)
        for index, micro in enumerate(placed(rows.shuffled([share], 0))):
            step = index // accumulate
            steps += [{}] if step == len(steps) else []
            assert not micro.keys() & steps[step].keys() and micro
            steps[step] |= micro
    return steps


# ---- resident


@pytest.mark.parametrize("sizes", AWKWARD)
def test_taken_rows_are_those_of_a_loop_in_ascending_order(sizes):
    rows = ResidentRows(Shards(sizes).tables)
    assert rows.num_rows == sum(sizes)
    random = np.random.default_rng(0)
    for count in (1, 2, rows.num_rows // 2, rows.num_rows):
        wanted = random.permutation(rows.num_rows)[:count]
        assert rows.take(np.sort(wanted))["row"].to_pylist() == sorted(wanted.tolist())


def test_tables_without_rows_and_in_many_chunks_change_nothing():
    tables = [table_of([]), pa.concat_tables([table_of([0, 1]), table_of([2])]), table_of([]), table_of([3, 4])]
    rows = ResidentRows(tables)
    assert rows.num_rows == 5
    assert rows.take(np.array([0, 3, 4]))["row"].to_pylist() == [0, 3, 4]


def test_placed_rows_ascend_and_know_their_places():
    rows = Shards([7, 20, 9]).resident()
    table, places, _ = rows.take_placed(np.array([30, 2, 9, 8]), 5, copies=True)
    assert table["row"].to_pylist() == [2, 8, 9, 30] and places.tolist() == [6, 8, 7, 5]


# ---- one order


@pytest.mark.parametrize("sizes", AWKWARD)
@pytest.mark.parametrize("window", [1, 10, 1000])
@pytest.mark.parametrize("piece_rows", [2, 5, 1000])
def test_the_same_rows_at_the_same_places_for_any_workers(sizes, window, piece_rows):
    shards = Shards(sizes, most=5, piece_rows=piece_rows)
    expected = by_step(shards.resident(), 8, 1, window=window)
    assert len(expected) == sum(sizes) // 8 and all(sorted(step) == list(range(8)) for step in expected)
    for rows in (shards.resident(), shards.streamed()):
        for world_size, accumulate in ((1, 1), (1, 3), (2, 1), (3, 1), (7, 1), (2, 3), (3, 2), (1, 8)):
            assert by_step(rows, 8, world_size, accumulate, window=window) == expected, (world_size, accumulate)


@pytest.mark.parametrize("kind", ["resident", "streamed"])
@pytest.mark.parametrize("sizes", AWKWARD)
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_a_pass_goes_on_at_any_step(kind, sizes, world_size):
    shards = Shards(sizes, piece_rows=3)
    rows = shards.streamed() if kind == "streamed" else shards.resident()
    for rank in range(world_size):
        share = share_of(rows, 5, rank, world_size)
        whole = placed(rows.shuffled([share], 0))
        for start in range(len(whole) + 1):
            assert placed(rows.shuffled([share], start)) == whole[start:], (rank, start)


def test_passes_and_seeds_differ_and_a_pass_repeats():
    rows = Shards([8] * 6, piece_rows=4).streamed()
    orders = [
        str(placed(rows.shuffled([share_of(rows, 6, number=number, seed=seed)], 0)))
        for number in (1, 2)
        for seed in (0, 1)
    ]
    assert len(set(orders)) == 4 and str(placed(rows.shuffled([share_of(rows, 6)], 0))) == orders[0]


# ---- streamed


def test_one_worker_reads_every_piece_once():
    shards = Shards([12] * 10, piece_rows=4)
    list(shards.streamed().shuffled([share_of(shards.streamed(), 8, window=24)], 0))
    assert shards.num_read <= 120 + 4  # the pass begins inside a piece
    assert len(set(shards.pieces)) == 30


def test_passes_follow_one_another_and_the_next_is_asked_for_early():
    shards = Shards([10] * 8, piece_rows=5)
    rows = shards.streamed()
    asked: list[int] = []

    def shares() -> Iterator[Share]:
        for number in (1, 2, 3):
            asked.append(number)
            yield share_of(rows, 5, window=20, number=number)

    expected = [
        each for number in (1, 2, 3) for each in placed(rows.shuffled([share_of(rows, 5, number=number, window=20)], 0))
    ]
    assert placed(rows.shuffled(shares(), 7)) == expected[7:] and asked == [1, 2, 3]
    assert placed(shards.resident().shuffled(shares(), 7)) == expected[7:]


def test_a_resume_does_not_read_the_windows_before_it():
    shards = Shards([10] * 8, piece_rows=5)
    rows = shards.streamed()
    share = share_of(rows, 5, window=20)
    list(rows.shuffled([share], 12))
    assert 20 <= shards.num_read <= 30


def test_memory_holds_one_window_at_a_time():
    shards = Shards([10] * 8)
    batches = shards.streamed().shuffled([share_of(shards.streamed(), 10, window=20)], 0)
    next(batches)
    assert shards.num_read <= 30


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 30])
def test_a_window_is_gone_when_the_next_but_one_is_read(copies, batch_size):
    living: list[weakref.ref] = []
    most: list[int] = []

    def read(passes: Iterable[Sequence[Piece]]) -> Iterator[pa.Table]:
        for piece in chain.from_iterable(passes):
            values = np.arange(10) + 10 * piece.shard
            living.append(weakref.ref(values))
            most.append(sum(shard() is not None for shard in living))
            column = pa.Array.from_buffers(pa.int64(), 10, [None, pa.py_buffer(values)])
            del values
            yield pa.table({"row": column})
            del column

    rows = StreamedRows(Sizes((10,) * 40, (10,) * 40), read)
    for batch in rows.shuffled([share_of(rows, batch_size, window=30)], 0, copies=copies):
        del batch
    assert len(living) >= 40 and max(most) <= 6


@pytest.mark.parametrize("kind", ["resident", "streamed"])
@pytest.mark.parametrize("sizes", AWKWARD)
def test_batches_that_are_not_copied_hold_the_same_rows(kind, sizes):
    shards = Shards(sizes, piece_rows=3)
    rows = shards.streamed() if kind == "streamed" else shards.resident()
    share = share_of(rows, 3)
    assert placed(rows.shuffled([share], 2, copies=False)) == placed(rows.shuffled([share], 2))


@pytest.mark.parametrize("sizes", AWKWARD)
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_an_ordered_pass_covers_every_row_once_over_the_ranks(sizes, world_size, kind):
    shards = Shards(sizes, most=3, piece_rows=4)
    rows = shards.streamed() if kind == "streamed" else shards.resident()
    for batch_size in (1, 4, 100):
        cuts = [rows.num_rows * rank // world_size for rank in range(world_size + 1)]
        parts = [numbers(rows.ordered(start, stop, batch_size)) for start, stop in pairwise(cuts)]
        assert flat([flat(part) for part in parts]) == list(range(rows.num_rows))
        for part in parts:
            assert all(len(batch) == batch_size for batch in part[:-1])
            assert all(part)


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_batches_are_copies_unless_aliases_are_allowed(kind):
    shards = Shards([3, 4, 5])
    rows = shards.streamed() if kind == "streamed" else shards.resident()
    stored = [table["row"].chunk(0).buffers()[1] for table in shards.tables]

    def is_copied(batch: pa.Table) -> bool:
        addresses = [chunk.buffers()[1].address for chunk in batch["row"].chunks]
        return not any(each.address <= address < each.address + each.size for each in stored for address in addresses)

    share = share_of(rows, 4)
    assert all(map(is_copied, [*(each.table for each in rows.shuffled([share], 0)), *rows.ordered(0, 12, 4)]))
    if kind == "resident":  # streamed rows are joined, and batches alias what was joined
        assert not all(is_copied(each.table) for each in rows.shuffled([share], 0, copies=False))


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_a_rank_without_rows_gets_no_batch(kind):
    shards = Shards([3, 4])
    rows = shards.streamed() if kind == "streamed" else shards.resident()
    for edge in (0, 3, 5, 7):
        assert numbers(rows.ordered(edge, edge, 2)) == []


def test_fewer_rows_than_the_manifest_says_are_refused():
    shards = Shards([5, 5])
    rows = StreamedRows(Sizes((5, 6), (5, 6)), shards.read)
    with pytest.raises(ValueError, match="fewer rows than their manifest says; run prepare again"):
        list(rows.ordered(0, 11, 4))
    with pytest.raises(ValueError, match="fewer rows than their manifest says"):
        for number in range(1, 5):
            list(rows.shuffled([share_of(rows, 11, number=number)], 0))


def test_a_read_that_fails_is_passed_on():
    def read(passes: Iterable[Sequence[Piece]]) -> Iterator[pa.Table]:
        yield table_of(range(3))
        raise ValueError("shard 1 is damaged")

    with pytest.raises(ValueError, match="shard 1 is damaged"):
        list(StreamedRows(Sizes((3, 3), (3, 3)), read).ordered(0, 6, 2))

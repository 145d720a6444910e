"""Rows as workers see them: each once, the same on any day, and found again at any batch."""

import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from trainables.engine.data.rows import ResidentRows, Share, StreamedRows, permutation

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
    return list(map(lambda table: table["row"].to_pylist(), tables))


def flat(batches: Sequence[Sequence[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


class Shards:
    """Shards whose rows are numbered through; `read` hands them out in tables of `piece` rows and counts the shards."""

    def __init__(self, sizes: Sequence[int], piece: int = 1000):
        ends = np.cumsum(sizes).tolist()
        self.tables = [table_of(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]
        self.sizes, self.piece, self.opened = sizes, piece, 0

    def read(self, shards: Sequence[int]) -> Iterator[pa.Table]:
        for shard in shards:
            self.opened += 1
            table = self.tables[shard]
            for first in range(0, table.num_rows, self.piece):
                yield table.slice(first, self.piece)

    def streamed(self, window: int) -> StreamedRows:
        return StreamedRows(self.sizes, self.read, window=window)


def share_of(
    num_rows: int, batch_size: int, rank: int = 0, world_size: int = 1, epoch: int = 1, seed: int = 0
) -> Share:
    """As the feed makes it: whole global batches, the remainder dropped."""
    num_batches = num_rows // (batch_size * world_size)
    return Share(seed, epoch, rank, world_size, batch_size, num_batches)


# ---- resident


@pytest.mark.parametrize("sizes", AWKWARD)
def test_taken_rows_are_those_of_a_loop_in_ascending_order(sizes):
    rows = ResidentRows(Shards(sizes).tables)
    assert rows.num_rows == sum(sizes)
    random = np.random.default_rng(0)
    for count in (1, 2, rows.num_rows // 2, rows.num_rows):
        wanted = random.permutation(rows.num_rows)[:count]
        assert rows.take(wanted)["row"].to_pylist() == sorted(wanted.tolist())


def test_tables_without_rows_and_in_many_chunks_change_nothing():
    tables = [table_of([]), pa.concat_tables([table_of([0, 1]), table_of([2])]), table_of([]), table_of([3, 4])]
    rows = ResidentRows(tables)
    assert rows.num_rows == 5
    assert rows.take(np.array([4, 0, 3]))["row"].to_pylist() == [0, 3, 4]


def test_the_order_holds_every_row_and_differs_by_epoch_and_seed():
    orders = [permutation(seed, epoch, 50).tolist() for seed in (0, 1) for epoch in (1, 2)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert permutation(0, 1, 50).tolist() == orders[0]


@pytest.mark.parametrize("sizes", AWKWARD)
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_the_batches_of_the_ranks_partition_the_global_batch(sizes, world_size, batch_size):
    rows = ResidentRows(Shards(sizes).tables)
    by_rank = [
        numbers(rows.shuffled(share_of(rows.num_rows, batch_size, rank, world_size), 0)) for rank in range(world_size)
    ]
    order = permutation(0, 1, rows.num_rows).tolist()
    size = batch_size * world_size
    assert all(len(batches) == rows.num_rows // size for batches in by_rank)
    for index, parts in enumerate(zip(*by_rank, strict=True)):
        assert all(len(part) == batch_size for part in parts)
        assert sorted(flat(parts)) == sorted(order[index * size : (index + 1) * size])


def test_global_batches_do_not_depend_on_the_world_size():
    rows = ResidentRows(Shards([7, 20, 9]).tables)
    by_size = []
    for world_size in (1, 2, 4):
        shares = [share_of(36, 8 // world_size, rank, world_size) for rank in range(world_size)]
        batches = zip(*(numbers(rows.shuffled(share, 0)) for share in shares), strict=True)
        by_size.append([sorted(flat(parts)) for parts in batches])
    assert by_size[0] == by_size[1] == by_size[2]


def test_a_resident_epoch_resumes_at_any_batch():
    rows = ResidentRows(Shards([7, 1, 5, 12]).tables)
    share = share_of(rows.num_rows, 3, rank=1, world_size=2)
    whole = numbers(rows.shuffled(share, 0))
    assert len(whole) == 4
    for start in range(len(whole) + 1):
        assert numbers(rows.shuffled(share, start)) == whole[start:]


# ---- streamed


@pytest.mark.parametrize("sizes", AWKWARD)
@pytest.mark.parametrize("window", [1, 2, 3, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_a_streamed_epoch_repeats_no_row_and_resumes_anywhere(sizes, window, batch_size, world_size):
    rows = Shards(sizes, piece=5).streamed(window)
    seen: list[int] = []
    for rank in range(world_size):
        share = share_of(rows.num_rows, batch_size, rank, world_size)
        whole = numbers(rows.shuffled(share, 0))
        assert [len(batch) for batch in whole] == [batch_size] * share.num_batches
        for start in range(share.num_batches + 1):
            assert numbers(rows.shuffled(share, start)) == whole[start:], (rank, start)
        seen += flat(whole)
    assert len(seen) == len(set(seen)) == rows.num_rows // (batch_size * world_size) * batch_size * world_size
    assert set(seen) <= set(range(rows.num_rows))


def test_a_streamed_epoch_does_not_depend_on_the_table_sizes():
    sizes = [7, 1, 5, 12, 3]
    share = share_of(sum(sizes), 3)
    by_piece = [numbers(Shards(sizes, piece).streamed(2).shuffled(share, 0)) for piece in (1, 2, 5, 1000)]
    assert all(batches == by_piece[0] for batches in by_piece)


def test_a_streamed_epoch_repeats_and_differs_by_epoch_and_seed():
    rows = Shards([8] * 6).streamed(3)

    def epoch(epoch: int, seed: int) -> list[list[int]]:
        return numbers(rows.shuffled(share_of(48, 4, epoch=epoch, seed=seed), 0))

    assert epoch(1, 0) == epoch(1, 0)
    assert len({str(epoch(number, seed)) for number in (1, 2, 3) for seed in (0, 1)}) == 6


def test_over_epochs_every_row_is_seen_although_each_drops_some():
    rows = Shards([5, 4, 6, 2]).streamed(2)
    seen = {row for epoch in range(1, 30) for row in flat(numbers(rows.shuffled(share_of(17, 6, epoch=epoch), 0)))}
    assert seen == set(range(17))


def test_rows_are_mixed_across_the_shards_of_a_window():
    rows = Shards([10] * 8).streamed(4)
    batches = numbers(rows.shuffled(share_of(80, 10), 0))
    shards = [{row // 10 for row in batch} for batch in batches]
    assert all(len(found) >= 3 for found in shards)
    first_half = set().union(*shards[:4])
    assert len(first_half) == 4 and not first_half & set().union(*shards[4:])


def test_every_window_of_every_rank_is_shuffled_differently():
    rows = Shards([10] * 8).streamed(1)
    orders = []
    for rank in range(2):
        order = [row % 10 for row in flat(numbers(rows.shuffled(share_of(80, 1, rank, world_size=2), 0)))]
        orders += [tuple(order[first : first + 10]) for first in range(0, 40, 10)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len(set(orders)) == 8


def test_a_resume_does_not_read_the_windows_before_it():
    shards = Shards([10] * 8)
    rows = shards.streamed(2)
    share = share_of(80, 5)
    list(rows.shuffled(share, 0))
    assert shards.opened == 8
    shards.opened = 0
    list(rows.shuffled(share, 12))
    assert shards.opened == 2


def test_memory_holds_one_window_at_a_time():
    shards = Shards([10] * 8)
    batches = shards.streamed(2).shuffled(share_of(80, 10), 0)
    next(batches)
    assert shards.opened <= 3


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 30])
def test_a_window_is_gone_before_the_next_is_read(copies, batch_size):
    shards: list[weakref.ref] = []
    earlier: list[int] = []

    def read(wanted: Sequence[int]) -> Iterator[pa.Table]:
        for index in wanted:
            if len(shards) % 2 == 0:
                earlier.append(sum(shard() is not None for shard in shards))
            values = np.arange(10) + 10 * index
            shards.append(weakref.ref(values))
            column = pa.Array.from_buffers(pa.int64(), 10, [None, pa.py_buffer(values)])
            del values
            yield pa.table({"row": column})
            del column

    rows = StreamedRows([10] * 8, read, window=2)
    seen = numbers(rows.shuffled(share_of(80, batch_size), 0, copies=copies))
    assert sorted(flat(seen)) == sorted(flat(numbers(rows.shuffled(share_of(80, batch_size), 0))))
    assert earlier[:4] == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["resident", "streamed"])
@pytest.mark.parametrize("sizes", AWKWARD)
def test_batches_that_are_not_copied_hold_the_same_rows(kind, sizes):
    shards = Shards(sizes)
    rows = shards.streamed(2) if kind == "streamed" else ResidentRows(shards.tables)
    share = share_of(rows.num_rows, 3)
    assert numbers(rows.shuffled(share, 2, copies=False)) == numbers(rows.shuffled(share, 2))


@pytest.mark.parametrize("sizes", AWKWARD)
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_an_ordered_pass_covers_every_row_once_over_the_ranks(sizes, world_size, kind):
    shards = Shards(sizes, piece=3)
    rows = shards.streamed(2) if kind == "streamed" else ResidentRows(shards.tables)
    for batch_size in (1, 4, 100):
        cuts = [rows.num_rows * rank // world_size for rank in range(world_size + 1)]
        parts = [numbers(rows.ordered(start, stop, batch_size)) for start, stop in pairwise(cuts)]
        assert flat([flat(part) for part in parts]) == list(range(rows.num_rows))
        for part in parts:
            assert all(len(batch) == batch_size for batch in part[:-1])
            assert all(part)


@pytest.mark.parametrize("kind", ["resident", "streamed"])
@pytest.mark.parametrize("window", [1, 2])
def test_batches_are_copies_unless_aliases_are_allowed(kind, window):
    shards = Shards([3, 4, 5])
    rows = shards.streamed(window) if kind == "streamed" else ResidentRows(shards.tables)
    stored = [table["row"].chunk(0).buffers()[1] for table in shards.tables]

    def is_copied(batch: pa.Table) -> bool:
        addresses = [chunk.buffers()[1].address for chunk in batch["row"].chunks]
        return not any(each.address <= address < each.address + each.size for each in stored for address in addresses)

    share = share_of(12, 4)
    assert all(map(is_copied, [*rows.shuffled(share, 0), *rows.ordered(0, 12, 4)]))
    assert not all(map(is_copied, rows.shuffled(share, 0, copies=False)))


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_a_rank_without_rows_gets_no_batch(kind):
    shards = Shards([3, 4])
    rows = shards.streamed(2) if kind == "streamed" else ResidentRows(shards.tables)
    for edge in (0, 3, 5, 7):
        assert numbers(rows.ordered(edge, edge, 2)) == []


def test_fewer_rows_than_the_manifest_says_are_refused():
    shards = Shards([5, 5])
    rows = StreamedRows([5, 6], shards.read, window=2)
    with pytest.raises(ValueError, match="fewer rows than their manifest says; run prepare again"):
        list(rows.ordered(0, 11, 4))
    with pytest.raises(ValueError, match="fewer rows than their manifest says"):
        for epoch in range(1, 5):
            list(rows.shuffled(share_of(11, 11, epoch=epoch), 0))


def test_a_read_that_fails_is_passed_on():
    def read(shards: Sequence[int]) -> Iterator[pa.Table]:
        yield table_of(range(3))
        raise ValueError("shard 1 is damaged")

    with pytest.raises(ValueError, match="shard 1 is damaged"):
        list(StreamedRows([3, 3], read, window=1).ordered(0, 6, 2))

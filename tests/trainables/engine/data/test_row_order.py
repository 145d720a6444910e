"""Order of the rows: whole batches, mixed in windows, the same for any number of workers."""

import itertools

import numpy as np
import pytest

from trainables.engine.data.row_order import PassOrder, Piece, Shards, share_bounds

AWKWARD = [
    pytest.param(Shards((7, 1, 5, 12, 3, 1, 8), (2, 1, 5, 5, 2, 1, 3)), id="uneven"),
    pytest.param(Shards((8, 8, 8, 8), (4, 4, 4, 4)), id="even"),
    pytest.param(Shards((37,), (37,)), id="one-piece"),
    pytest.param(Shards((1,) * 23, (1,) * 23), id="single-rows"),
    pytest.param(Shards((1, 30, 1, 2), (1, 4, 1, 2)), id="one-large"),
]


def order_of(shards: Shards, batch_size: int = 3, window_rows: int = 10, number: int = 1, seed: int = 0) -> PassOrder:
    return PassOrder(shards, seed=seed, number=number, batch_size=batch_size, window_rows=window_rows)


def batches_of(order: PassOrder) -> list[list[int]]:
    return [order.rows(batch, 0, order.batch_size).tolist() for batch in range(order.num_batches)]


def test_pieces_cover_each_shard_once():
    shards = Shards((7, 1, 4), (3, 1, 2))
    assert shards.pieces == [
        Piece(0, 0, 3),
        Piece(0, 3, 6),
        Piece(0, 6, 7),
        Piece(1, 0, 1),
        Piece(2, 0, 2),
        Piece(2, 2, 4),
    ]
    assert shards.starts.tolist() == [0, 7, 8] and shards.num_rows == 12


@pytest.mark.parametrize("shards", AWKWARD)
@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("window_rows", [1, 10, 1000])
def test_a_pass_has_whole_batches_and_no_row_twice(shards, batch_size, window_rows):
    found = batches_of(order_of(shards, batch_size, window_rows))
    rows = [row for batch in found for row in batch]
    assert len(found) == shards.num_rows // batch_size and all(len(batch) == batch_size for batch in found)
    assert len(set(rows)) == len(rows) and set(rows) <= set(range(shards.num_rows))


@pytest.mark.parametrize("shards", AWKWARD)
@pytest.mark.parametrize("window_rows", [1, 10, 1000])
def test_windows_follow_one_another_and_are_as_equal_as_can_be(shards, window_rows):
    order = order_of(shards, 2, window_rows)
    windows = [order.window_of(batch) for batch in range(order.num_batches)]
    different = list(dict.fromkeys(windows))
    assert [window.first_batch for window in different] == np.cumsum(
        [0, *(window.num_batches for window in different[:-1])]
    ).tolist()
    assert sum(window.num_batches for window in different) == order.num_batches
    assert max(w.num_batches for w in different) - min(w.num_batches for w in different) <= 1
    for batch, window in enumerate(windows):
        assert window.first_batch <= batch < window.first_batch + window.num_batches


@pytest.mark.parametrize("shards", AWKWARD)
@pytest.mark.parametrize("num_parts", [1, 2, 3, 4])
@pytest.mark.parametrize("window_rows", [1, 10, 1000])
def test_the_rows_of_a_part_lie_in_its_pieces(shards, num_parts, window_rows):
    order = order_of(shards, 4, window_rows)
    bounds = share_bounds(4, num_parts)
    for batch in range(order.num_batches):
        window = order.window_of(batch)
        for first, last in itertools.pairwise(bounds):
            cuts = order.cuts(window, first, last)
            read = [
                shards.starts[piece.shard] + row
                for piece in order.pieces(cuts)
                for row in range(piece.start, piece.stop)
            ]
            places = order.places_in_pieces(cuts, window)[:, batch - window.first_batch]
            assert [read[place] for place in places] == order.rows(batch, first, last).tolist()


def test_parts_differ_by_a_row_at_most():
    for batch_size in range(1, 40):
        for num_parts in range(1, batch_size + 1):
            sizes = np.diff(share_bounds(batch_size, num_parts))
            assert sizes.sum() == batch_size and sizes.min() >= 1 and sizes.max() - sizes.min() <= 1


def test_passes_and_seeds_have_orders_of_their_own():
    shards = Shards((20, 20, 20), (5, 5, 5))
    orders = [str(batches_of(order_of(shards, number=number, seed=seed))) for number in (1, 2) for seed in (0, 1)]
    assert len(set(orders)) == 4
    assert str(batches_of(order_of(shards))) == orders[0]


def test_every_row_is_left_out_as_often_as_any_other():
    """Of 10 rows in batches of 4 each pass leaves 2 out."""
    shards, counts = Shards((6, 4), (2, 2)), np.zeros(10)
    for number in range(3000):
        counts[[row for batch in batches_of(order_of(shards, 4, 10, number)) for row in batch]] += 1
    assert counts.sum() == 3000 * 8
    assert np.abs(counts / 3000 - 0.8).max() < 5 * (0.8 * 0.2 / 3000) ** 0.5


def test_a_batch_takes_rows_from_pieces_all_over_the_split():
    shards = Shards((64,) * 16, (4,) * 16)  # 256 pieces
    for rows in batches_of(order_of(shards, 32, window_rows=256)):
        assert len({row // 4 for row in rows}) >= 31 and len({row // 64 for row in rows}) >= 8


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_workers_read_at_most_a_tenth_more_than_the_rows(world_size):
    shards = Shards((512,) * 20, (16,) * 20)
    order = order_of(shards, 64, window_rows=4 * 512)
    bounds, num_read = share_bounds(64, world_size), 0
    for first, last in itertools.pairwise(bounds):
        windows = dict.fromkeys(order.window_of(batch) for batch in range(order.num_batches))
        pieces = [piece for window in windows for piece in order.pieces(order.cuts(window, first, last))]
        num_read += sum(
            piece.num_rows for before, piece in zip([None, *pieces], pieces, strict=False) if piece != before
        )
    assert num_read <= 1.1 * shards.num_rows

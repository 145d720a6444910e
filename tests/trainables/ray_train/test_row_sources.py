"""Rows that a worker reads by itself: ahead of need, but not far, in order, and without threads left behind."""

import threading
import time
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from data_pipelines.prepared.ray_dataset import Piece
from trainables.engine.data.row_order import PassOrder
from trainables.engine.data.row_order import Shards as Sizes
from trainables.engine.data.rows import Share
from trainables.ray_train.row_sources import RUN_PIECES, _runs, _streamed_by_itself

NUM_SHARDS, ROWS = 9, 10


class Shards:
    """Remembers what was read; the shard number `broken` cannot be."""

    def __init__(self, broken: int | None = None):
        self.shards = [SimpleNamespace(decoded_rows=ROWS, group_rows=None)] * NUM_SHARDS
        self.num_rows = NUM_SHARDS * ROWS
        self.broken, self.read = broken, []

    def load(self, index: int, pipeline: Any, rows: tuple[int, int]) -> pa.Table:
        if index == self.broken:
            raise ValueError(f"shard {index} is cut off")
        self.read.append(index)
        return pa.table({"row": list(range(ROWS * index + rows[0], ROWS * index + rows[1]))})

    def load_pieces(self, pieces: Any, pipeline: Any) -> pa.Table:
        return pa.concat_tables([self.load(index, pipeline, (start, stop)) for index, start, stop in pieces])


def stream(shards: Any, window: int = 3) -> Any:
    run = SimpleNamespace(training=SimpleNamespace(shuffle_window=window))
    plan: Any = SimpleNamespace(run=run, scaling=SimpleNamespace(read_threads=2, num_workers=0))
    return _streamed_by_itself(plan, shards, SimpleNamespace())  # pyright: ignore


def share(window: int = 3, batch_size: int = 5) -> Share:
    shards = Sizes((ROWS,) * NUM_SHARDS, (ROWS,) * NUM_SHARDS)
    order = PassOrder(shards, seed=0, number=1, batch_size=batch_size, window_rows=window * ROWS)
    return Share(order, [(0, batch_size)])


@pytest.mark.parametrize("window", [1, 3, 20])
def test_every_row_comes_once_and_in_stored_order_when_asked(window):
    rows = stream(Shards(), window)
    shuffled = [row for batch in rows.shuffled([share(window)], 0) for row in batch.table["row"].to_pylist()]
    assert sorted(shuffled) == list(range(90)) and shuffled != sorted(shuffled)
    assert [row for batch in rows.ordered(5, 25, 10) for row in batch["row"].to_pylist()] == list(range(5, 25))


def test_one_window_is_prefetched_while_batches_are_cut():
    shards = Shards()
    batches = stream(shards, window=3).shuffled([share()], 0)
    next(batches)
    deadline = time.monotonic() + 60.0
    while len(shards.read) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(shards.read) in (6, 7)  # the first window may begin inside a shard
    batches.close()


def test_no_more_than_a_pass_is_read_ahead_however_long_the_window():
    shards = Shards()
    batches = stream(shards, window=1000).shuffled(repeat(share(1000)), 0)
    next(batches)
    deadline = time.monotonic() + 60.0
    while len(shards.read) < 2 * NUM_SHARDS and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(shards.read) <= 2 * NUM_SHARDS + 2  # a pass may begin and end inside a shard
    batches.close()


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_leaving_an_epoch_early_leaves_no_thread(taken):
    before = set(threading.enumerate())
    batches = stream(Shards()).shuffled([share()], 0)
    for _ in range(taken):
        next(batches)
    batches.close()
    assert set(threading.enumerate()) == before


def test_pieces_that_follow_one_another_in_a_shard_are_read_together():
    pieces = [Piece(0, 0, 2), Piece(0, 4, 6), Piece(1, 6, 8), Piece(1, 0, 2), *(Piece(2, n, n + 1) for n in range(6))]
    runs = list(_runs(pieces))
    assert [piece for run in runs for piece in run] == pieces
    assert [len(run) for run in runs] == [2, 1, 1, RUN_PIECES, 6 - RUN_PIECES]


def test_an_error_of_a_shard_reaches_the_consumer_of_batches():
    with pytest.raises(ValueError, match="shard 4 is cut off"):
        list(stream(Shards(broken=4)).shuffled([share()], 0))

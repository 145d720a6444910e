"""Rows that come in tables of one size and go on in another."""

import pytest

from data_pipelines.prepared.rechunk import rebatch, regroup
from tests.trainables.engine.data.test_rows import Shards, numbers
from trainables.engine.data.row_order import Piece


@pytest.mark.parametrize("piece", [1, 2, 3, 10])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 25])
def test_rebatched_and_regrouped_rows_are_the_same_rows(piece, batch_size):
    shards, pieces = Shards([10, 11], piece), [Piece(0, 0, 10), Piece(1, 0, 11)]
    batches = numbers(rebatch(shards.read([pieces]), batch_size))
    assert batches == [list(range(first, min(first + batch_size, 21))) for first in range(0, 21, batch_size)]
    assert numbers(regroup(shards.read([pieces]), [10, 1, 3, 7])) == [
        list(range(0, 10)),
        [10],
        [11, 12, 13],
        list(range(14, 21)),
    ]

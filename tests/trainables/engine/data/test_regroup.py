"""Rows that come in tables of one size and go on in another."""

import pytest

from data_pipelines.prepared.rechunk import rebatch, regroup
from tests.trainables.engine.data.test_rows import Shards, numbers


@pytest.mark.parametrize("piece", [1, 2, 3, 10])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 25])
def test_rebatched_and_regrouped_rows_are_the_same_rows(piece, batch_size):
    shards = Shards([10, 11], piece)
    batches = numbers(rebatch(shards.read([0, 1]), batch_size))
    assert batches == [list(range(first, min(first + batch_size, 21))) for first in range(0, 21, batch_size)]
    assert numbers(regroup(shards.read([0, 1]), [10, 1, 3, 7])) == [
        list(range(0, 10)),
        [10],
        [11, 12, 13],
        list(range(14, 21)),
    ]

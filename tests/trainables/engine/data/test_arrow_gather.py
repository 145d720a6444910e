"""Picked rows against Arrow's own `take`."""

import numpy as np
import pyarrow as pa
import pytest

from trainables.engine.data.arrow_gather import RowGatherer

SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("fixed", pa.binary(3)),
        pa.field("bytes", pa.large_binary()),
        pa.field("name", pa.string()),
        pa.field("missing", pa.large_binary()),
    ]
)


def build(first: int, last: int) -> pa.Table:
    numbers = range(first, last)
    columns = [
        list(numbers),
        [bytes([number % 256, 1, 2]) for number in numbers],
        [bytes([number % 256]) * (number % 4) for number in numbers],
        [f"row {number}" for number in numbers],
        [None if number % 3 else b"x" for number in numbers],
    ]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


TABLES = [build(0, 5), build(3, 13).slice(2), build(13, 14)]
"""Of 14 rows; the second one is a slice, whose buffers begin earlier."""


@pytest.mark.parametrize(
    "picks",
    [
        [(0, [0, 2, 4]), (1, [0, 7]), (2, [0])],
        [(1, [3])],
        [(2, [0]), (0, [4, 1, 1])],
        [(0, []), (1, [1])],
    ],
)
def test_rows_are_those_that_take_gives(picks):
    chosen = [(number, np.array(rows, np.int64)) for number, rows in picks]
    found = RowGatherer(TABLES).gather(chosen)
    expected = pa.concat_tables([TABLES[number].take(pa.array(rows)) for number, rows in chosen])
    found.validate(full=True)
    assert found.schema == SCHEMA and found.to_pylist() == expected.to_pylist()


def test_byte_strings_lie_in_one_piece():
    found = RowGatherer(TABLES).gather([(0, np.array([1, 3])), (1, np.array([0])), (2, np.array([0]))])
    assert found["fixed"].num_chunks == found["bytes"].num_chunks == 1


@pytest.mark.parametrize("names", [["bytes"], ["fixed", "bytes"], ["number"]])
def test_columns_of_one_kind_alone_will_do(names):
    tables = [table.select(names) for table in TABLES]
    found = RowGatherer(tables).gather([(0, np.array([1, 3])), (2, np.array([0]))])
    expected = pa.concat_tables([tables[0].take(pa.array([1, 3])), tables[2].take(pa.array([0]))])
    found.validate(full=True)
    assert found.to_pylist() == expected.to_pylist()

"""Rows that are put together batch by batch: those of a loop, for any columns and parts of tables."""

import weakref
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from trainables.engine.data.arrow_gather import BatchBuffer

KINDS = {
    "fixed": pa.binary(3),
    "nullable": pa.binary(3),
    "number": pa.int64(),
    "text": pa.string(),
    "long": pa.large_binary(),
}
SCHEMA = pa.schema([pa.field(name, kind, nullable=name == "nullable") for name, kind in KINDS.items()])


def table_of(numbers: range, names: list[str]) -> pa.Table:
    words = [f"{number:03d}".encode() for number in numbers]
    columns = {
        "fixed": words,
        "nullable": [word if number % 2 else None for word, number in zip(words, numbers, strict=True)],
        "number": list(numbers),
        "text": [word.decode() * (number % 3) for word, number in zip(words, numbers, strict=True)],
        "long": [word * (number % 4) for word, number in zip(words, numbers, strict=True)],
    }
    schema = pa.schema([SCHEMA.field(name) for name in names])
    return pa.table({name: columns[name] for name in names}, schema=schema)


@pytest.mark.parametrize("names", [list(KINDS), ["fixed"], ["number"], ["long", "fixed"]], ids=" ".join)
@pytest.mark.parametrize("share", [1.0, 0.6], ids=["whole", "part"])
def test_rows_lie_where_a_loop_puts_them(names, share):
    random = np.random.default_rng(0)
    whole = table_of(range(60), names)
    rows = [random.permutation(stop - start)[: int(share * (stop - start))] for start, stop in pairwise((0, 7, 40, 60))]
    places = np.split(random.permutation(sum(map(len, rows))), np.cumsum([len(each) for each in rows])[:-1])
    expected: dict[int, dict] = {}
    buffer = BatchBuffer(sum(map(len, rows)))
    for (start, stop), taken, at in zip(pairwise((0, 7, 40, 60)), rows, places, strict=True):
        table = pa.concat_tables([whole.slice(start, 2), whole.slice(start + 2, stop - start - 2)])
        buffer.put(table, taken, at)
        for row, place in zip(taken.tolist(), at.tolist(), strict=True):
            expected[place] = whole.slice(start + row, 1).to_pylist()[0]
    found = buffer.finish()
    assert found.schema == whole.schema
    assert found.to_pylist() == [expected[place] for place in range(len(expected))]


def test_the_memory_is_its_own():
    table = table_of(range(4), ["fixed"])
    buffer = BatchBuffer(4)
    buffer.put(table, np.arange(4), np.arange(4))
    stored, found = (each["fixed"].chunk(0).buffers()[1] for each in (table, buffer.finish()))
    assert not stored.address <= found.address < stored.address + stored.size


@pytest.mark.parametrize("nullable", [True, False])
def test_a_table_of_byte_strings_is_not_kept(nullable):
    values = np.arange(12, dtype=np.uint8)
    kept = weakref.ref(values)
    column = pa.Array.from_buffers(pa.binary(3), 4, [None, pa.py_buffer(values)])
    buffer = BatchBuffer(8)
    schema = pa.schema([pa.field("x", pa.binary(3), nullable)])
    buffer.put(pa.table([column], schema=schema), np.arange(4), np.arange(4))
    del values, column
    assert kept() is None


def test_tables_of_longer_strings_are_kept_until_the_end():
    """Then there are two copies of them at most: joined, and in order."""
    values = np.arange(12, dtype=np.uint8)
    kept = weakref.ref(values)
    offsets = pa.py_buffer(np.arange(0, 13, 3))
    column = pa.Array.from_buffers(pa.large_binary(), 4, [None, offsets, pa.py_buffer(values)])
    buffer = BatchBuffer(8)
    for places in (np.arange(4), np.arange(4, 8)):
        buffer.put(pa.table({"x": column}), np.arange(4), places)
    del values, column
    assert kept() is not None
    assert buffer.finish()["x"].to_pylist() == 2 * [bytes(range(first, first + 3)) for first in (0, 3, 6, 9)]
    assert kept() is None


def test_too_few_rows_are_noticed():
    buffer = BatchBuffer(5)
    buffer.put(table_of(range(4), ["fixed"]), np.arange(4), np.arange(4))
    with pytest.raises(AssertionError):
        buffer.finish()

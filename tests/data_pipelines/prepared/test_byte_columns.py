"""Byte strings out of Arrow buffers against a loop over values."""

import numpy as np
import pyarrow as pa
import pytest

from data_pipelines.prepared.byte_columns import bytes_of, offsets_of, tensor_of

VALUES = [b"abc", b"", b"de", b"fghij", b"k", b""]


def column(*parts: list[bytes]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(part, pa.large_binary()) for part in parts], pa.large_binary())


COLUMNS = {
    "one chunk": column(VALUES),
    "chunks": column(VALUES[:2], [], VALUES[2:]),
    "slice": column(VALUES).slice(1, 3),
    "slice of chunks": column(VALUES, VALUES).slice(4, 5),
    "empty": column(VALUES).slice(2, 0),
    "no chunk": column(),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_bytes_and_offsets_equal_those_of_a_loop(name):
    values = COLUMNS[name].to_pylist()
    assert bytes_of(COLUMNS[name]).tobytes() == b"".join(values)
    assert bytes(tensor_of(COLUMNS[name]).tolist()) == b"".join(values)
    lengths = [len(value) for value in values]
    assert offsets_of(COLUMNS[name]).tolist() == np.cumsum([0, *lengths]).tolist()


@pytest.mark.parametrize("start, stop", [(0, 4), (1, 3), (2, 2)])
def test_values_of_fixed_size_equal_those_of_a_loop(start, stop):
    parts = [pa.array(part, pa.binary(2)) for part in ([b"ab", b"cd", b"ef"], [b"gh"])]
    values = pa.chunked_array(parts).slice(start, stop - start)
    assert bytes(tensor_of(values).tolist()) == b"".join(values.to_pylist())


def test_one_chunk_is_not_copied():
    taken = pa.chunked_array([pa.array([b"abc", b"de"], pa.large_binary())])
    assert tensor_of(taken).data_ptr() == taken.chunk(0).buffers()[2].address

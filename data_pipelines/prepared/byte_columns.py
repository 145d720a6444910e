"""Columns of byte strings, read out of their Arrow buffers without a loop over rows."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor


def bounds_of(chunk: pa.Array) -> tuple[pa.Buffer, np.ndarray]:
    """Of binary values of fixed size or large_binary ones: the buffer that holds them, and where in it each begins and
    the last one ends."""
    if pa.types.is_fixed_size_binary(chunk.type):
        places = np.arange(chunk.offset, chunk.offset + len(chunk) + 1, dtype=np.int64)
        return chunk.buffers()[1], places * chunk.type.byte_width
    bounds = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return chunk.buffers()[2], bounds


def offsets_of(column: pa.ChunkedArray) -> np.ndarray:
    """Of a large_binary column: where each value begins, and where the last one ends, counted over the chunks."""
    parts, before = [np.zeros(1, np.int64)], 0
    for chunk in column.chunks:
        if len(chunk):
            _, bounds = bounds_of(chunk)
            parts.append(bounds[1:] - bounds[0] + before)
            before = int(parts[-1][-1])
    return np.concatenate(parts)


def bytes_of(column: pa.ChunkedArray) -> np.ndarray:
    """Of a large_binary column: the values behind one another, as uint8."""
    return np.concatenate([np.empty(0, np.uint8), *(part.to_numpy() for part in _parts_of(column))])


def strings_of(chunk: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """As `bounds_of`, the buffer as uint8."""
    buffer, bounds = bounds_of(chunk)
    return np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8), bounds


def values_of(column: pa.ChunkedArray) -> "list[UInt8[np.ndarray, ' bytes']]":
    """Of a binary column of fixed size or a large_binary one: each value by itself, where it lies."""
    strings = [strings_of(chunk) for chunk in column.chunks if len(chunk)]
    return [values[start:stop] for values, bounds in strings for start, stop in pairwise(bounds.tolist())]


def tensor_of(column: pa.ChunkedArray) -> "UInt8[Tensor, ' bytes']":
    """Of a binary column of fixed size or a large_binary one: the values behind one another.

    One chunk is not copied: the tensor then is the column's memory, which is the batch's own when the rows were taken
    out of a larger table.
    """
    import torch

    parts = [torch.from_dlpack(part) for part in _parts_of(column)]
    return parts[0] if len(parts) == 1 else torch.cat([torch.empty(0, dtype=torch.uint8), *parts])


def _parts_of(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """The bytes of each chunk, where they lie."""
    for chunk in column.chunks:
        if len(chunk):
            buffer, bounds = bounds_of(chunk)
            start, stop = int(bounds[0]), int(bounds[-1])
            yield pa.Array.from_buffers(pa.uint8(), stop - start, [None, buffer], offset=start)

"""Byte-string columns, read from their Arrow buffers without a loop over rows."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor


def bounds_of(chunk: pa.Array) -> tuple[pa.Buffer, np.ndarray]:
    """Return a chunk's buffer, and the offsets in it at which each value begins and the last one ends.

    The chunk holds binary values of fixed size, or large_binary ones.
    """
    if pa.types.is_fixed_size_binary(chunk.type):
        places = np.arange(chunk.offset, chunk.offset + len(chunk) + 1, dtype=np.int64)
        return chunk.buffers()[1], places * chunk.type.byte_width
    bounds = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return chunk.buffers()[2], bounds


def offsets_of(column: pa.ChunkedArray) -> np.ndarray:
    """Return, for a large_binary column, where each value begins and the last one ends, counted over the chunks."""
    parts, before = [np.zeros(1, np.int64)], 0
    for chunk in column.chunks:
        if len(chunk):
            _, bounds = bounds_of(chunk)
            parts.append(bounds[1:] - bounds[0] + before)
            before = int(parts[-1][-1])
    return np.concatenate(parts)


def bytes_of(column: pa.ChunkedArray) -> np.ndarray:
    """Concatenate the values of a large_binary column, as uint8."""
    return np.concatenate([np.empty(0, np.uint8), *(part.to_numpy() for part in _parts_of(column))])


def strings_of(chunk: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the result of `bounds_of`, with the buffer as uint8."""
    buffer, bounds = bounds_of(chunk)
    return np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8), bounds


def values_of(column: pa.ChunkedArray) -> "list[UInt8[np.ndarray, ' bytes']]":
    """Return each value of a fixed-size binary or large_binary column as a view, without a copy."""
    strings = [strings_of(chunk) for chunk in column.chunks if len(chunk)]
    return [values[start:stop] for values, bounds in strings for start, stop in pairwise(bounds.tolist())]


def tensor_of(column: pa.ChunkedArray) -> "UInt8[Tensor, ' bytes']":
    """Concatenate the values of a fixed-size binary or large_binary column.

    A single chunk is not copied: the tensor is then the column's memory, which belongs to the batch alone when the rows
    were taken out of a larger table.
    """
    import torch

    parts = [torch.from_dlpack(part) for part in _parts_of(column)]
    return parts[0] if len(parts) == 1 else torch.cat([torch.empty(0, dtype=torch.uint8), *parts])


def rows_of(chunk: pa.Array) -> np.ndarray:
    """Return the values of a chunk of binary values of fixed size as a view, uint8 [rows, bytes]."""
    start, stop = _extent_of(chunk)
    return np.frombuffer(chunk.buffers()[1], np.uint8, stop - start, start).reshape(len(chunk), -1)


def _extent_of(chunk: pa.Array) -> tuple[int, int]:
    """Return where the bytes of a chunk begin and end in its buffer."""
    if pa.types.is_fixed_size_binary(chunk.type):
        width = chunk.type.byte_width
        return chunk.offset * width, (chunk.offset + len(chunk)) * width
    _, bounds = bounds_of(chunk)
    return int(bounds[0]), int(bounds[-1])


def _parts_of(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield the bytes of each chunk as views."""
    for chunk in column.chunks:
        if len(chunk):
            start, stop = _extent_of(chunk)
            buffer = chunk.buffers()[-1]
            yield pa.Array.from_buffers(pa.uint8(), stop - start, [None, buffer], offset=start)

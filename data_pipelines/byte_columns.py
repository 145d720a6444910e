"""Columns of byte strings, read out of their Arrow buffers without a loop over rows."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor


def offsets_of(column: pa.ChunkedArray) -> np.ndarray:
    """Of a large_binary column: where each value begins, and where the last one ends, counted over the chunks."""
    parts, before = [np.zeros(1, np.int64)], 0
    for chunk in column.chunks:
        own = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        parts.append(own[1:] - own[0] + before if len(chunk) else own[:0])
        before = int(parts[-1][-1]) if len(chunk) else before
    return np.concatenate(parts)


def bytes_of(column: pa.ChunkedArray) -> np.ndarray:
    """Of a large_binary column: the values behind one another, as uint8."""
    parts = [np.empty(0, np.uint8)]
    for chunk in column.chunks:
        if len(chunk):
            offsets = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            parts.append(np.frombuffer(chunk.buffers()[2], np.uint8)[offsets[0] : offsets[-1]])
    return np.concatenate(parts)


def tensor_of(column: pa.ChunkedArray) -> "UInt8[Tensor, ' bytes']":
    """Of a binary column of fixed size or a large_binary one: the values behind one another.

    One chunk is not copied: the tensor then is the column's memory, which is the batch's own when the rows were taken
    out of a larger table.
    """
    import torch

    parts = [torch.from_dlpack(_values_of(chunk)) for chunk in column.chunks if len(chunk)]
    return parts[0] if len(parts) == 1 else torch.cat([torch.empty(0, dtype=torch.uint8), *parts])


def _values_of(chunk: pa.Array) -> pa.Array:
    if pa.types.is_fixed_size_binary(chunk.type):
        width, buffer = chunk.type.byte_width, chunk.buffers()[1]
        start, stop = chunk.offset * width, (chunk.offset + len(chunk)) * width
    else:
        offsets, buffer = np.frombuffer(chunk.buffers()[1], np.int64), chunk.buffers()[2]
        start, stop = int(offsets[chunk.offset]), int(offsets[chunk.offset + len(chunk)])
    return pa.Array.from_buffers(pa.uint8(), stop - start, [None, buffer], offset=start)

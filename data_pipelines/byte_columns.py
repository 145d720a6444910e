"""Columns of byte strings of any length, read out of their Arrow buffers without a loop over rows."""

import numpy as np
import pyarrow as pa


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

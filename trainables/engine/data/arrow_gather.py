"""Row gathering from Arrow tables, with one copy of their byte strings."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data_pipelines.prepared.byte_columns import strings_of

Pick = tuple[int, np.ndarray]
"""The number of a table, and indices of its rows."""


class RowGatherer:
    """Gatherer of rows from tables with one schema.

    Arrow's own `take` handles each table by itself and leaves a batch in as many pieces. So byte strings are copied
    here, and the other columns, which are small, are joined beforehand.
    """

    def __init__(self, tables: Sequence[pa.Table]):
        self._schema = tables[0].schema
        self._strings = {
            field.name: [strings_of(table[field.name].chunk(0)) for table in tables]
            for field in self._schema
            if all(_is_plain(table[field.name]) for table in tables)
        }
        others = [field.name for field in self._schema if field.name not in self._strings]
        self._others = pa.concat_tables([table.select(others) for table in tables]).combine_chunks()
        self.starts = np.cumsum([0, *(table.num_rows for table in tables)])
        """Number of rows before each table, and before the end."""

    def gather(self, picks: Sequence[Pick]) -> pa.Table:
        """Return the picked rows in that order, in memory of their own."""
        places = np.concatenate([rows + self.starts[number] for number, rows in picks])
        others = self._others.take(pa.array(places))
        columns = [
            self._gather_bytes(field, picks) if field.name in self._strings else others[field.name]
            for field in self._schema
        ]
        return pa.table(columns, schema=self._schema)

    def _gather_bytes(self, field: pa.Field, picks: Sequence[Pick]) -> pa.Array:
        parts = [(*self._strings[field.name][number], rows) for number, rows in picks]
        if pa.types.is_fixed_size_binary(field.type):
            return _gather_fixed(parts, field.type)
        return _gather_strings(parts, field.type)


Strings = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Bytes of a column, the bounds of its byte strings in them, and numbers of rows."""


def _gather_fixed(parts: Sequence[Strings], kind: pa.DataType) -> pa.Array:
    values = np.empty((sum(len(rows) for *_, rows in parts), kind.byte_width), np.uint8)
    first = 0
    for content, bounds, rows in parts:
        all_rows = content[bounds[0] : bounds[-1]].reshape(-1, kind.byte_width)
        np.take(all_rows, rows, axis=0, out=values[first : first + len(rows)], mode="clip")  # else it copies twice
        first += len(rows)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _gather_strings(parts: Sequence[Strings], kind: pa.DataType) -> pa.Array:
    lengths = np.concatenate([bounds[rows + 1] - bounds[rows] for _, bounds, rows in parts])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    values = np.empty(offsets[-1], np.uint8)
    places = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    for content, bounds, rows in parts:
        for start, end in zip(bounds[rows].tolist(), bounds[rows + 1].tolist(), strict=True):
            first, last = next(places)
            values[first:last] = content[start:end]
    return pa.Array.from_buffers(kind, len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(values)])


def _is_plain(column: pa.ChunkedArray) -> bool:
    is_string = pa.types.is_fixed_size_binary(column.type) or pa.types.is_large_binary(column.type)
    return is_string and column.num_chunks == 1 and column.null_count == 0

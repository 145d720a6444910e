"""Row gathering from Arrow tables, with one copy of their byte strings."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data_pipelines.prepared.byte_columns import rows_of, strings_of

Pick = tuple[int, np.ndarray]
"""The number of a table, and indices of its rows."""
Strings = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Bytes of a column, the bounds of its byte strings in them, and numbers of rows."""


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


class BatchBuffer:
    """Buffer of a number of rows, of which tables with one schema bring each once.

    Byte strings of fixed size are copied to their places at once; the other columns, which are small, are kept as they
    come and put in order at the end.
    """

    def __init__(self, num_rows: int) -> None:
        self._num_rows, self._num_filled, self._num_seen = num_rows, 0, 0
        self._schema = pa.schema([])
        self._bytes: dict[str, np.ndarray] = {}
        """Values by column, uint8 [rows, bytes]."""
        self._missing: dict[str, np.ndarray] = {}
        """Which of them are null, bool [rows], where any is."""
        self._others: list[pa.Table] = []
        self._order = np.empty(num_rows, np.int64)
        """Number of the row at each place, among all rows of the tables."""

    def put(self, table: pa.Table, rows: np.ndarray, places: np.ndarray) -> None:
        """Copy the rows of a table with these numbers, each at most once, to their places in the buffer."""
        table = table.combine_chunks()
        if not self._num_filled:
            self._begin(table)
        is_whole = len(rows) == table.num_rows
        targets = places[np.argsort(rows)] if is_whole else places
        for name, values in self._bytes.items():
            column = table[name].chunk(0)
            source = rows_of(column)
            values[targets] = source if is_whole else source[rows]  # a whole table is not copied twice
            if column.null_count:
                missing = self._missing.setdefault(name, np.zeros(self._num_rows, bool))
                missing[places] = column.is_null().to_numpy(zero_copy_only=False)[rows]
        self._others.append(table.select(self._other_names))
        self._order[places] = self._num_seen + rows
        self._num_seen, self._num_filled = self._num_seen + table.num_rows, self._num_filled + len(rows)

    def finish(self) -> pa.Table:
        """Return the rows in the order of their places, once all have come."""
        assert self._num_filled == self._num_rows
        columns = {name: self._column(name, values) for name, values in self._bytes.items()}
        if self._other_names:
            others = pa.concat_tables(self._others).combine_chunks()
            self._others.clear()  # else long ones would be there three times
            others = others.take(pa.array(self._order))
            columns |= {name: others[name] for name in self._other_names}
        return pa.table([columns[name] for name in self._schema.names], schema=self._schema)

    def _column(self, name: str, values: np.ndarray) -> pa.Array:
        is_valid = pa.array(~self._missing[name]).buffers()[1] if name in self._missing else None
        kind = self._schema.field(name).type
        return pa.Array.from_buffers(kind, self._num_rows, [is_valid, pa.py_buffer(values)])

    def _begin(self, table: pa.Table) -> None:
        self._schema = table.schema
        for field in self._schema:
            if pa.types.is_fixed_size_binary(field.type) and field.type.byte_width:
                self._bytes[field.name] = np.empty((self._num_rows, field.type.byte_width), np.uint8)
        self._other_names = [name for name in self._schema.names if name not in self._bytes]

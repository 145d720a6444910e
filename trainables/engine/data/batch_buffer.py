"""Rows of several batches in one piece of memory, batch by batch, filled table by table: each row is copied once."""

import numpy as np
import pyarrow as pa

from data_pipelines.prepared.byte_columns import rows_of


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

"""Raw rows in chunks for the shards, with the faults of those whose files are damaged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, Split
from data_pipelines.readers.bad_file import BadFileError


@dataclass
class RawChunk:
    """Consecutive raw rows of a split."""

    tables: list[pa.Table] = field(default_factory=list)
    """The rows that could be read, in order."""
    faults: list[BadFileError] = field(default_factory=list)
    """The faults of the others, each of one row."""

    @property
    def num_rows(self) -> int:
        """Number of rows that could be read."""
        return sum(table.num_rows for table in self.tables)

    @property
    def num_raw_rows(self) -> int:
        """Number of raw rows."""
        return self.num_rows + len(self.faults)


def read_chunks(
    pipeline: DataPipeline[Any], split: Split, start_row: int, size: int, on_row: Callable[[int], object] | None = None
) -> Iterator[RawChunk]:
    """Yield the raw rows of a split from `start_row` on, in chunks of `size` raw rows.

    A chunk without a row that can be read goes on until there is one, and the last may be smaller. So the chunks depend
    the raw data alone, and a chunk that begins where another ended is the same in any process. `on_row` is called with
    the number of the next raw row whenever some have been read.
    """
    chunk = RawChunk()
    for item in _read_past_faults(pipeline, split, start_row):
        if isinstance(item, BadFileError):
            chunk.faults.append(item)
            rest = None
        else:
            rest = item
        start_row += 1 if rest is None else rest.num_rows
        if on_row is not None:
            on_row(start_row)
        while rest is not None and rest.num_rows:
            room = max(size - chunk.num_raw_rows, 1)
            chunk.tables.append(rest.slice(0, room))
            rest = rest.slice(room)
            if chunk.num_raw_rows >= size:
                yield chunk
                chunk = RawChunk()
        if chunk.tables and chunk.num_raw_rows >= size:
            yield chunk
            chunk = RawChunk()
    if chunk.num_raw_rows:
        yield chunk


def _read_past_faults(pipeline: DataPipeline[Any], split: Split, start_row: int) -> Iterator[pa.Table | BadFileError]:
    """Yield the tables of `read_raw`, and in the place of each row that cannot be read its fault."""
    while True:
        try:
            for table in pipeline.read_raw(split, start_row):
                start_row += table.num_rows
                yield table
        except BadFileError as fault:
            start_row += 1
            yield fault
        else:
            return

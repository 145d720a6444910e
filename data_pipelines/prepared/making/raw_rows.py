"""Raw rows of a split, in pieces of given sizes, with the faults of those whose files are damaged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, Split
from data_pipelines.readers.bad_file import BadFileError


@dataclass
class RawRows:
    """Consecutive raw rows of a split."""

    tables: list[pa.Table] = field(default_factory=list)
    """The rows that could be read, in order."""
    faults: list[BadFileError] = field(default_factory=list)
    """The faults of the others, each of one row."""
    fault_rows: list[int] = field(default_factory=list)
    """The number of each faulty row in the split."""

    @property
    def num_rows(self) -> int:
        """Number of rows that could be read."""
        return sum(table.num_rows for table in self.tables)


def read_pieces(
    pipeline: DataPipeline[Any],
    split: Split,
    start_row: int,
    sizes: Sequence[int],
    *,
    ends_split: bool = False,
    on_rows: Callable[[int], object] = lambda count: None,
) -> Iterator[RawRows]:
    """Yield the raw rows of a split from `start_row` on, in pieces of the given numbers of raw rows.

    `sizes` are the raw rows of each piece from `start_row` on, and `ends_split` is whether the split has no further
    rows. `on_rows` is called with the number of raw rows whenever some have been read.

    Raises:
        ValueError: The pipeline gives fewer rows, or goes on after the last.
    """
    items = _read_past_faults(pipeline, split, start_row)
    rest: pa.Table | None = None
    done = start_row
    for size in sizes:
        piece, missing = RawRows(), size
        while missing:
            item = next(items, None) if rest is None else rest
            if item is None:
                raise ValueError(
                    f"{pipeline.source}: split {split} gave {done} rows, expected at least {done + missing}"
                )
            rest = None
            if isinstance(item, BadFileError):
                piece.faults.append(item)
                piece.fault_rows.append(done)
                count = 1
            else:
                piece.tables.append(item.slice(0, missing))
                count = piece.tables[-1].num_rows
                rest = item.slice(count) if count < item.num_rows else None
            missing, done = missing - count, done + count
            on_rows(count)
        yield piece
    if ends_split and (rest is not None or next(items, None) is not None):
        raise ValueError(f"{pipeline.source}: split {split} gave more rows than the expected {done}")


def _read_past_faults(pipeline: DataPipeline[Any], split: Split, start_row: int) -> Iterator[pa.Table | BadFileError]:
    """Yield the tables of `read_raw`, and in the place of each row that cannot be read its fault."""
    while True:
        try:
            for table in pipeline.read_raw(split, start_row):
                start_row += table.num_rows
                if table.num_rows:
                    yield table
        except BadFileError as fault:
            start_row += 1
            yield fault
        else:
            return

"""Re-chunking of Arrow tables: the same rows in the same order, in tables of other sizes."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa


def rebatch(tables: Iterable[pa.Table], batch_size: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of `batch_size`; the last may be smaller."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while _num_rows(waiting) >= batch_size:
            yield _split_off(waiting, batch_size)
    if _num_rows(waiting):
        yield pa.concat_tables(waiting)


def regroup(tables: Iterator[pa.Table], sizes: Iterable[int]) -> Iterator[pa.Table]:
    """Yield the same rows in tables of the given sizes. Raises ValueError when there are too few rows.

    A yielded table is not held while more is read.
    """
    waiting: list[pa.Table] = []
    for size in sizes:
        while _num_rows(waiting) < size:
            table = next(tables, None)
            if table is None:
                raise ValueError("the shards hold fewer rows than their manifest says; run prepare again")
            waiting.append(table)
            del table
        yield _split_off(waiting, size)


def _num_rows(tables: Sequence[pa.Table]) -> int:
    return sum(table.num_rows for table in tables)


def _split_off(waiting: list[pa.Table], size: int) -> pa.Table:
    """Return the first `size` rows and leave the others in `waiting`."""
    if waiting and waiting[0].num_rows >= size:
        first = waiting.pop(0)
        if first.num_rows > size:
            waiting.insert(0, first.slice(size))
        return first.slice(0, size)
    joined = pa.concat_tables(waiting)
    rest = joined.slice(size)
    waiting[:] = [rest] if rest.num_rows else []  # an empty slice would keep its table in memory
    return joined.slice(0, size)

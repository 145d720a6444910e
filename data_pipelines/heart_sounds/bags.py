"""Bags of heart cycles: a sample is a recording, of whose cycles a training draws some (multiple-instance learning)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.rows import decode_rows
from data_pipelines.prepared.byte_columns import values_of


def decode_bags(table: pa.Table, data: HeartData) -> pa.Table:
    """Return a row for each stored recording that has cycles, as often as it is repeated.

    It has the signals of all cycles one after another, the list of their durations, and the columns of its recording.
    """
    parts = [len(starts) for starts in table["starts"].to_pylist()]
    lengths = np.repeat(parts, table["repetitions"].to_numpy())
    bounds = np.cumsum([0, *lengths[lengths > 0]], dtype=np.int64)
    cycles = decode_rows(table, data)
    signal = cycles["signal"].combine_chunks()
    places = pa.py_buffer(bounds * signal.type.byte_width)
    columns = {
        "signal": pa.Array.from_buffers(pa.large_binary(), len(bounds) - 1, [None, places, signal.buffers()[1]]),
        "duration_s": pa.LargeListArray.from_arrays(pa.array(bounds), cycles["duration_s"].combine_chunks()),
    }
    return _with_others(columns, cycles, bounds[:-1])


def count_cycles(bags: pa.Table) -> np.ndarray:
    """Return the number of cycles of each bag, int64."""
    return np.array([len(durations) for durations in bags["duration_s"].to_pylist()], np.int64)


def draw_cycles(lengths: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draw cycles of each bag, without repetition as far as it has enough; then they come again in the same order.

    Args:
        lengths: Number of cycles of each bag, [bags].
        uniform: Random numbers from [0, 1), [bags, cycles].

    Returns:
        Numbers of the drawn cycles, int64 [bags, cycles].
    """
    drawn = np.empty(uniform.shape, np.int64)
    for row, (length, numbers) in enumerate(zip(lengths.tolist(), uniform.tolist(), strict=True)):
        order = list(range(length))
        for place, number in enumerate(numbers[:length]):  # the first places of a Fisher-Yates shuffle
            other = place + int(number * (length - place))
            order[place], order[other] = order[other], order[place]
        drawn[row] = np.resize(order, uniform.shape[1])
    return drawn


def take_cycles(bags: pa.Table, chosen: Sequence[np.ndarray], data: HeartData) -> pa.Table:
    """Return a row for each chosen cycle, as `decode_rows` does.

    `chosen` has the numbers of the cycles of each bag of `decode_bags`.
    """
    signals, durations = [np.empty((0, 2 * data.num_samples), np.uint8)], [np.empty(0, np.float32)]
    rows = zip(values_of(bags["signal"]), bags["duration_s"].to_pylist(), chosen, strict=True)
    for values, lasting, numbers in rows:
        signals.append(values.reshape(-1, 2 * data.num_samples)[numbers])
        durations.append(np.array(lasting, np.float32)[numbers])
    joined = np.concatenate(signals)
    kind = pa.binary(2 * data.num_samples)
    columns = {
        "signal": pa.FixedSizeBinaryArray.from_buffers(kind, len(joined), [None, pa.py_buffer(joined)]),
        "duration_s": pa.array(np.concatenate(durations)),
    }
    sources = np.repeat(np.arange(bags.num_rows), [len(numbers) for numbers in chosen])
    return _with_others(columns, bags, sources)


def _with_others(columns: Mapping[str, pa.Array], table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Return columns with all others of these rows of a table."""
    others = table.drop_columns(list(columns)).take(pa.array(rows))
    return pa.table({**columns, **dict(zip(others.column_names, others.columns, strict=True))})

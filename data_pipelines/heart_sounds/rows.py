"""Stored rows from recordings, the parts of them that settings choose, and samples from these."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.recordings import UNLABELLED, Recording
from data_pipelines.heart_sounds.signal.cycles import is_clean, resample_cycles
from data_pipelines.heart_sounds.signal.preprocessing import preprocess
from data_pipelines.heart_sounds.signal.segmentation import cut_windows, find_cycles, lasts_as_a_cycle
from data_pipelines.readers.bad_file import BadFileError

FALLBACK_S = 0.8
"""Length of the windows into which recordings without a beat are cut."""
_FULL_SCALE = 32767
_log = logging.getLogger(__name__)


def _schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


RECORDED = _schema(
    {
        "waveform": pa.binary(),
        "scale": pa.float32(),
        "place": pa.string(),
        "num_values": pa.int64(),
        "starts": pa.list_(pa.int64()),
        "ends": pa.list_(pa.int64()),
        "is_clean": pa.list_(pa.bool_()),
        "num_found": pa.int64(),
        "has_beat": pa.int64(),
    }
)
"""Rows of recordings, whatever is chosen from them. A waveform is 16-bit numbers times `scale`; a cycle is a half-open
range of samples, from a start to an end. `num_found` is the number of cycles before those were dropped that last too
short or too long; without a beat the cycles are windows instead."""

OWN_COLUMNS = {
    "starts": pa.list_(pa.int64()),
    "ends": pa.list_(pa.int64()),
    **dict.fromkeys(
        ("num_found", "has_beat", "repetitions", "label", "subject", "patient", "recording", "is_good"), pa.int64()
    ),
}
"""Columns that settings decide: which parts of a recording are samples, and what these are."""
STORED = _schema({"waveform": pa.binary(), "scale": pa.float32(), **OWN_COLUMNS})
"""Rows of recordings with all that their samples need. `num_found` is the number of cycles, or of windows, before some
were dropped."""
_SAID = ("scale", "label", "subject", "patient", "recording", "is_good")
"""Columns that every sample copies from its recording."""


def read_recording(recording: Recording, data: HeartData) -> dict[str, Any]:
    """Return the row of `RECORDED`: the waveform and its cycles.

    Raises:
        BadFileError: Names the recording that cannot be read.
    """
    try:
        samples = preprocess(recording.read(), rate=data.sample_rate, band_hz=data.band_hz)
    except BadFileError:
        raise
    except ValueError as error:
        raise BadFileError(next(iter(recording.files), Path(recording.name)), str(error)) from error
    found = _pairs(find_cycles(samples, data.sample_rate, recording.read_states()))
    usable = [cycle for cycle in found if lasts_as_a_cycle(cycle, data.sample_rate)]
    cycles = usable or _pairs(cut_windows(len(samples), data.sample_rate, FALLBACK_S, FALLBACK_S))
    scale = max(float(np.abs(samples).max(initial=0)), 1e-6) / _FULL_SCALE
    return {
        "waveform": np.round(samples / scale).astype("<i2").tobytes(),
        "scale": scale,
        "place": recording.place,
        "num_values": len(samples),
        "starts": [start for start, _ in cycles],
        "ends": [end for _, end in cycles],
        "is_clean": [is_clean(samples[slice(*cycle)]) for cycle in cycles],
        "num_found": len(found),
        "has_beat": int(bool(usable)),
    }


def choose_parts(
    row: Mapping[str, Any], data: HeartData, name: str, read_waveform: Callable[[], bytes]
) -> dict[str, Any]:
    """Return the columns `starts`, `ends`, `num_found` and `has_beat` of the parts of a recording that are samples.

    `row` is one of `RECORDED`, without the waveform; that is read when windows are filtered, which are not known
    beforehand.
    """
    if data.unit == "window":
        parts = _pairs(cut_windows(row["num_values"], data.sample_rate, data.window_s, data.hop_s))
        num_found, has_beat = len(parts), int(bool(parts))
        if data.filters_cycles:
            values = np.frombuffer(read_waveform(), "<i2")
            parts = [part for part in parts if is_clean(values[slice(*part)])]
    else:
        num_found, has_beat = row["num_found"], row["has_beat"]
        if not has_beat:
            _log.warning("%s: no heart beat found; cut into windows of %g s", name, FALLBACK_S)
        cycles = zip(row["starts"], row["ends"], row["is_clean"], strict=True)
        parts = [(start, end) for start, end, clean in cycles if clean or not data.filters_cycles]
    return {
        "starts": [start for start, _ in parts],
        "ends": [end for _, end in parts],
        "num_found": num_found,
        "has_beat": has_beat,
    }


def store_recording(recording: Recording, number: int, data: HeartData) -> dict[str, Any]:
    """Return the row of `STORED` of a recording, without label, subject and patient.

    `number` is written also as subject and patient until the caller sets these.

    Raises:
        BadFileError: Names the recording that cannot be read.
    """
    return complete_row(read_recording(recording, data), recording, number, data)


def complete_row(row: Mapping[str, Any], recording: Recording, number: int, data: HeartData) -> dict[str, Any]:
    """Return the row of `STORED` for one of `RECORDED`; see `store_recording`."""
    return {
        "waveform": row["waveform"],
        "scale": row["scale"],
        **choose_parts(row, data, recording.name, lambda: row["waveform"]),
        "repetitions": 1,
        "label": UNLABELLED,
        "subject": number,
        "patient": number,
        "recording": number,
        "is_good": int(recording.is_good),
    }


def count_samples(table: pa.Table) -> np.ndarray:
    """Return the number of samples of each row, by `starts` and `repetitions`."""
    lengths = np.array([len(starts) for starts in table["starts"].to_pylist()], np.int64)
    return lengths * table["repetitions"].to_numpy()


def count_bags(table: pa.Table) -> np.ndarray:
    """Return the number of bags of each row: its repetitions, if it has any samples."""
    return np.minimum(count_samples(table), table["repetitions"].to_numpy())


def count_rows(table: pa.Table, groups: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count recordings and cycles, found and kept, by the group of each row."""
    counts: dict[str, dict[str, int]] = {}
    for group, row in zip(groups, table.select(["starts", "num_found", "has_beat"]).to_pylist(), strict=True):
        num_kept = len(row["starts"])
        found = {
            "recordings": 1,
            "recordings_kept": int(num_kept > 0),
            "cycles": row["num_found"],
            "cycles_kept": num_kept if row["has_beat"] else 0,
            "recordings_without_beat": 1 - row["has_beat"],
        }
        before = counts.get(group, {})
        counts[group] = {name: before.get(name, 0) + value for name, value in found.items()}
    return counts


def decode_rows(table: pa.Table, data: HeartData) -> pa.Table:
    """Return a row for each cycle: 16-bit values times `scale`, its duration, and the columns of its recording."""
    signals, lengths, sources = [np.empty((0, data.num_samples), "<i2")], [], []
    for number, row in enumerate(table.select(["waveform", "starts", "ends", "repetitions"]).to_pylist()):
        starts, ends, repetitions = row["starts"], row["ends"], row["repetitions"]
        if not starts:
            continue
        values = resample_cycles(np.frombuffer(row["waveform"], "<i2"), starts, ends, data.num_samples)
        signals += [np.rint(values).astype("<i2")] * repetitions
        lengths += [end - start for start, end in zip(starts, ends, strict=True)] * repetitions
        sources += [number] * len(starts) * repetitions
    signal = pa.py_buffer(np.concatenate(signals))
    columns = [
        pa.FixedSizeBinaryArray.from_buffers(pa.binary(2 * data.num_samples), len(sources), [None, signal]),
        pa.array(np.array(lengths) / data.sample_rate, pa.float32()),
        *table.select(_SAID).take(pa.array(sources, pa.int64())).columns,
    ]
    return pa.table(columns, names=["signal", "duration_s", *_SAID])


def _pairs(bounds: np.ndarray) -> list[tuple[int, int]]:
    return [(int(start), int(end)) for start, end in bounds]

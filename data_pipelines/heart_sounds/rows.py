"""Stored rows from recordings, and samples from stored rows."""

import logging
from collections.abc import Sequence
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

STORED = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in (
            ("waveform", pa.binary()),
            ("scale", pa.float32()),
            ("starts", pa.list_(pa.int64())),
            ("ends", pa.list_(pa.int64())),
            ("num_found", pa.int64()),
            ("has_beat", pa.int64()),
            ("repetitions", pa.int64()),
            ("label", pa.int64()),
            ("subject", pa.int64()),
            ("patient", pa.int64()),
            ("recording", pa.int64()),
            ("is_good", pa.int64()),
        )
    ]
)
"""A waveform is 16-bit numbers times `scale`; a cycle is a half-open range of samples, from a start to an end.
`num_found` is the number of cycles before some were dropped; without a beat the cycles are windows instead."""
_SAID = ("scale", "label", "subject", "patient", "recording", "is_good")
"""Columns that every sample copies from its recording."""


def store_recording(recording: Recording, number: int, data: HeartData) -> dict[str, Any]:
    """Return the stored row of a recording, without label, subject and patient.

    Args:
        recording: The recording, which is read here.
        number: Its number, written also as subject and patient until the caller sets these.
        data: Settings.

    Raises:
        BadFileError: Names the recording that cannot be read.
    """
    try:
        samples = preprocess(recording.read(), rate=data.sample_rate, band_hz=data.band_hz)
    except BadFileError:
        raise
    except ValueError as error:
        raise BadFileError(next(iter(recording.files), Path(recording.name)), str(error)) from error
    found = _cut(samples, recording, data)
    usable = [cycle for cycle in found if data.unit == "window" or lasts_as_a_cycle(cycle, data.sample_rate)]
    parts = usable or _fall_back(len(samples), recording, data)
    kept = [cycle for cycle in parts if not data.filters_cycles or is_clean(samples[slice(*cycle)])]
    scale = max(float(np.abs(samples).max(initial=0)), 1e-6) / _FULL_SCALE
    return {
        "waveform": np.round(samples / scale).astype("<i2").tobytes(),
        "scale": scale,
        "starts": [start for start, _ in kept],
        "ends": [end for _, end in kept],
        "num_found": len(found),
        "has_beat": int(bool(usable)),
        "repetitions": 1,
        "label": UNLABELLED,
        "subject": number,
        "patient": number,
        "recording": number,
        "is_good": int(recording.is_good),
    }


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


def _cut(samples: np.ndarray, recording: Recording, data: HeartData) -> list[tuple[int, int]]:
    if data.unit == "window":
        return _pairs(cut_windows(len(samples), data.sample_rate, data.window_s, data.hop_s))
    return _pairs(find_cycles(samples, data.sample_rate, recording.read_states()))


def _fall_back(num_samples: int, recording: Recording, data: HeartData) -> list[tuple[int, int]]:
    _log.warning("%s: no heart beat found; cut into windows of %g s", recording.name, FALLBACK_S)
    return _pairs(cut_windows(num_samples, data.sample_rate, FALLBACK_S, FALLBACK_S))


def _pairs(bounds: np.ndarray) -> list[tuple[int, int]]:
    return [(int(start), int(end)) for start, end in bounds]

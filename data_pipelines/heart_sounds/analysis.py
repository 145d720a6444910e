"""Analysis of one recording that is to be classified: its samples, its quality, and why it may have no verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.heart_sounds.rows import STORED, complete_row, read_recording
from data_pipelines.heart_sounds.signal.quality import MOST_CLIPPED, clipped_ratio, compute_likeness
from data_pipelines.heart_sounds.signal.segmentation import PERIOD_S, annotated_cycles


@dataclass(frozen=True)
class Analysis:
    """A recording after the preprocessing of a model."""

    stored: pa.Table
    """The row of `STORED`, the same as that of a recording in a data set; no row where there is no heart beat."""
    samples: np.ndarray
    """The preprocessed waveform, of unit variance, at the model's sample rate."""
    rate: int
    duration_s: float
    heart_rate_bpm: float | None
    """Beats per minute, by the median of the cycles; None without cycles."""
    is_annotated: bool
    """Whether the cycles were annotated, not detected."""
    quality: float
    """Likeness of the cycles, see `compute_likeness`."""
    clipped_ratio: float
    fault: str | None
    """Why the recording cannot be judged; None when it can."""

    @property
    def parts(self) -> list[tuple[int, int]]:
        """First sample and end of each cycle, or window, that is classified."""
        rows = self.stored.select(["starts", "ends"]).to_pylist()
        return [part for row in rows for part in zip(row["starts"], row["ends"], strict=True)]


def analyse(recording: Recording, data: HeartData, *, least_alike: float) -> Analysis:
    """Read a recording, find its cycles, and judge its quality.

    Below a likeness of `least_alike` detected cycles count as noise.

    Raises:
        BadFileError: The recording cannot be read.
    """
    sound, states = recording.read(), recording.read_states()
    known = replace(recording, read=lambda: sound, read_states=lambda: states)
    row = read_recording(known, data)
    samples = np.frombuffer(row["waveform"], "<i2") * row["scale"]
    has_beat = bool(row["has_beat"])
    starts, ends = (row["starts"], row["ends"]) if has_beat else ([], [])
    found = Analysis(
        stored=pa.Table.from_pylist([complete_row(row, known, 0, data)] if has_beat else [], schema=STORED),
        samples=samples,
        rate=data.sample_rate,
        duration_s=len(sound.samples) / sound.rate,
        heart_rate_bpm=60 * data.sample_rate / float(np.median(np.subtract(ends, starts))) if has_beat else None,
        is_annotated=bool(len(annotated_cycles(states, data.sample_rate, len(samples)))),
        quality=compute_likeness(samples, data.sample_rate, starts, ends),
        clipped_ratio=clipped_ratio(sound.samples),
        fault=None,
    )
    return replace(found, fault=_find_fault(found, row, data, least_alike))


def _find_fault(found: Analysis, row: Mapping[str, Any], data: HeartData, least_alike: float) -> str | None:
    shortest_s = data.window_s if data.unit == "window" else 2 * PERIOD_S[0]
    if not found.samples.any():
        return "silent: there is no sound in the model's pass band"
    if found.duration_s < shortest_s:
        return f"too short: it lasts {found.duration_s:.2f} s, and at least {shortest_s:g} s are needed"
    if not row["has_beat"]:
        return "no heart cycles found"
    if found.clipped_ratio > MOST_CLIPPED:
        return f"clipped: {found.clipped_ratio:.0%} of the samples are cut at the largest value; record it less loud"
    if not found.is_annotated and found.quality < least_alike:
        return f"noise: the cycles found are not alike ({found.quality:.2f}, expected at least {least_alike:g})"
    return None

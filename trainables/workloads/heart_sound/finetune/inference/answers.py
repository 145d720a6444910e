"""Answers for recordings and patients."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CycleAnswer:
    """The answer for one heart cycle, or one window of a model of windows."""

    start_s: float
    end_s: float
    probabilities: Mapping[str, float]
    """By class; empty in a recording without a verdict."""
    weight: float | None = None
    """Of its logits in those of the recording, where the model pools by attention; they add up to 1."""


@dataclass(frozen=True)
class RecordingAnswer:
    """The answer for one recording."""

    name: str
    """Path of the file, or `recording 1` and so on for arrays."""
    patient: str
    """The patient by the file's name or its patient file; else the name without its ending."""
    answer: str | None
    """The class, by the model's decision rule; None where there is no verdict."""
    probabilities: Mapping[str, float]
    """By class, adding up to 1; empty where there is no verdict."""
    reason: str | None
    """Why there is no verdict."""
    cycles: tuple[CycleAnswer, ...]
    """In time order; what the recording's probabilities are pooled from."""
    duration_s: float
    heart_rate_bpm: float | None
    """Beats per minute; None where no cycles were found."""
    signal_quality: float
    """How alike the cycles are, from about 0 (noise) to nearly 1."""
    clipped_ratio: float
    """Share of clipped samples."""
    is_annotated: bool
    """Whether the cycles come from annotated states beside the file, not from the sound."""


@dataclass(frozen=True)
class PatientAnswer:
    """The answer for one patient: every recording with a verdict counts the same."""

    patient: str
    answer: str | None
    """None where no recording has a verdict."""
    probabilities: Mapping[str, float]
    num_recordings: int
    num_without_verdict: int

"""A moment of a training, as its driver learns of it; torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ProgressSnapshot:
    """At the start, after every few steps, and after each epoch. Times are those since the moment before, on rank 0."""

    epoch: int
    """The running epoch, counted from 1; when one ends, already the next."""
    starts_epoch: bool
    """Whether `epoch` begins now; also when a run goes on in the middle of it."""
    learning_rate: float
    """Of the coming step."""
    row: Mapping[str, float] | None
    """The newest row, with the metrics of an evaluation if there was one; None at the start."""
    samples_done: int
    """Of the row's epoch."""
    samples_per_epoch: int
    epoch_means: Mapping[str, float]
    """Means over the steps of the row's epoch so far, by metric name."""
    computing_s: float
    waiting_s: float
    """For data."""
    evaluation_s: float

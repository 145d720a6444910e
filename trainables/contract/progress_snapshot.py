"""Progress snapshot of a training, as its driver receives it; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ProgressSnapshot:
    """Progress at the start, after every few steps, and after each epoch.

    Times are since the last snapshot, on rank 0.
    """

    epoch: int
    """The running epoch, counted from 1; at the end of an epoch, already the next."""
    starts_epoch: bool
    """Whether `epoch` begins now; also when a run resumes in the middle of it."""
    learning_rate: float
    """Learning rate of the coming step."""
    row: Mapping[str, float] | None
    """The newest row, with the metrics of an evaluation if there was one; None at the start."""
    samples_done: int
    """Samples of the row's epoch so far."""
    samples_per_epoch: int
    epoch_means: Mapping[str, float]
    """Means over the steps of the row's epoch so far, by metric name."""
    computing_s: float
    waiting_s: float
    """Waiting for data."""
    evaluation_s: float

"""Calibration: whether probabilities are as often right as they say."""

from dataclasses import dataclass

import numpy as np

NUM_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Rows whose probability lies in one of ten equal ranges."""

    mean_probability: float
    share: float
    """How often the event happened."""
    count: int


def calibration_bins(probability: np.ndarray, is_event: np.ndarray) -> list[Bin]:
    """Return the bins that are not empty, ascending, of events [rows]; a probability of 1 belongs to the last one."""
    places = np.minimum((probability * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        Bin(float(probability[chosen].mean()), float(is_event[chosen].mean()), int(chosen.sum()))
        for place in range(NUM_BINS)
        if (chosen := places == place).any()
    ]


def expected_calibration_error(probability: np.ndarray, is_event: np.ndarray) -> float | None:
    """Compute the mean distance of probability and share over the bins, weighted by rows (Naeini et al. 2015)."""
    bins = calibration_bins(probability, is_event)
    count = sum(each.count for each in bins)
    return sum(each.count * abs(each.mean_probability - each.share) for each in bins) / count if count else None


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Compute the mean squared error of the probabilities, [rows, classes], summed over classes (Brier 1950).

    Of two classes it is halved, as is usual for them: the squared error of one class's probability.
    """
    if not len(labels):
        return None
    errors = ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)
    return float(errors.mean()) / (2 if probabilities.shape[1] == 2 else 1)

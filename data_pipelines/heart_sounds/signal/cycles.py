"""Samples from a stored recording: every cycle or window resampled to the same number of values."""

from collections.abc import Sequence

import numpy as np

PEAK_TO_MEAN = 50.0
NEAR_ZERO_RATIO = 0.001
MAX_NEAR_ZERO = 0.3
"""A cycle with a larger share of values below a thousandth of its peak is silence with a click."""


def resample_cycles(waveform: np.ndarray, starts: Sequence[int], ends: Sequence[int], num_samples: int) -> np.ndarray:
    """Interpolate each cycle linearly to [cycles, num_samples], from its first value to its last.

    Nothing is cut or filled.
    """
    firsts, lasts = np.asarray(starts, np.float64), np.asarray(ends, np.float64) - 1
    places = firsts[:, None] + np.arange(num_samples) * ((lasts - firsts) / (num_samples - 1))[:, None]
    return np.interp(places, np.arange(len(waveform)), waveform)


def is_clean(values: np.ndarray) -> bool:
    """Return whether a cycle is neither silent, nor a spike, nor mostly silence.

    Pitch plays no part, because murmurs are high.
    """
    size = np.abs(values.astype(np.float64))
    peak = size.max(initial=0.0)
    if peak == 0:
        return False
    return bool(peak < PEAK_TO_MEAN * size.mean() and (size < NEAR_ZERO_RATIO * peak).mean() < MAX_NEAR_ZERO)

"""From a stored recording to its samples: every cycle brought to the same number of values, or windows."""

from functools import cache

import numpy as np

PEAK_TO_MEAN = 50.0
NEAR_ZERO_RATIO = 0.001
MAX_NEAR_ZERO = 0.3
"""A cycle with a larger share of values below a thousandth of its peak is silence with a click."""


def resample_cycle(values: np.ndarray, num_samples: int) -> np.ndarray:
    """[num_samples] by straight lines, from the first value to the last: nothing is cut or filled."""
    places = _count(num_samples) * ((len(values) - 1) / (num_samples - 1))
    return np.interp(places, np.arange(len(values), dtype=np.float64), values)


@cache
def _count(end: int) -> np.ndarray:
    return np.arange(end, dtype=np.float64)


def is_clean(values: np.ndarray) -> bool:
    """Whether a cycle is neither silent, nor a spike, nor mostly silence. Pitch plays no part, as murmurs are high."""
    size = np.abs(values.astype(np.float64))
    peak = size.max(initial=0.0)
    if peak == 0:
        return False
    return bool(peak < PEAK_TO_MEAN * size.mean() and (size < NEAR_ZERO_RATIO * peak).mean() < MAX_NEAR_ZERO)

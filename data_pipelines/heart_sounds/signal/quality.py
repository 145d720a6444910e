"""Quality of a recording: how alike its heart cycles are, and how much of it is clipped."""

from collections.abc import Sequence

import numpy as np

from data_pipelines.heart_sounds.signal.cycles import resample_cycles
from data_pipelines.heart_sounds.signal.envelope import HOP_S, compute_envelope

LEAST_ALIKE = 0.15
"""Likeness below which the cycles that were found are no heart beats. White, pink and brown noise of 8 s and more stays
below it (899 of 900 times), noise of 4 s 93 % of the time; so do 3 % of the recordings of CirCor and of PhysioNet 2016,
in which noise prevails."""
MOST_CLIPPED = 0.05
"""Largest usable share of clipped samples; of 1,080 recordings of CirCor and PhysioNet 2016 the worst has 0.047."""
_NUM_STEPS = 100
_NEAR_PEAK = 0.999


def compute_likeness(samples: np.ndarray, rate: int, starts: Sequence[int], ends: Sequence[int]) -> float:
    """Compute how alike the cycles are, from about 0 (noise) to nearly 1 (all equal).

    It is the mean of the matrix of correlations between the loudness curves of the cycles, with zeros on its diagonal:
    chance makes a few cycles alike, so that few must be more alike than many. Of a single cycle it is 0. `samples` are
    preprocessed, `rate` is in Hz, and `starts` and `ends` are places in the samples.
    """
    loudness = compute_envelope(samples, rate, shortest_s=0).loudness
    if not len(loudness) or not len(starts):
        return 0.0
    steps = rate * HOP_S
    first, last = ([round(place / steps) for place in places] for places in (starts, ends))
    curves = resample_cycles(loudness, first, last, _NUM_STEPS)
    curves -= curves.mean(axis=1, keepdims=True)
    curves /= np.maximum(np.linalg.norm(curves, axis=1, keepdims=True), 1e-9)
    total = np.square(curves.sum(axis=0)).sum()  # of all correlations, those of a cycle with itself too
    return float((total - np.square(curves).sum()) / len(curves) ** 2)


def clipped_ratio(samples: np.ndarray) -> float:
    """Compute the share of the samples that lie in runs of three or more at the recording's largest size."""
    size = np.abs(samples)
    peak = size.max(initial=0.0)
    if peak == 0 or len(size) < 3:
        return 0.0
    is_top = size >= _NEAR_PEAK * peak
    runs = is_top[2:] & is_top[1:-1] & is_top[:-2]
    in_run = np.zeros(len(size), bool)
    for shift in range(3):
        in_run[shift : len(size) - 2 + shift] |= runs
    return float(in_run.mean())

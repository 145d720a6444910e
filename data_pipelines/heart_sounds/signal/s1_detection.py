"""Detection of the first heart sound (S1) against the second (S2), at any heart rate.

Systole is the shorter interval in slow hearts alone: in children it is half of the cycle at about 130 beats per minute,
and more above. So three signs decide, each as a log likelihood ratio: the duration of systole at this rate, the higher
pitch of S2, and that systole is the steadier interval (Liang et al. 1997, "Heart sound segmentation algorithm based on
heart sound envelogram").
"""

import numpy as np

from data_pipelines.heart_sounds.signal.envelope import HOP_S, Envelope

SYSTOLE = 0.32
"""Seconds from the first sound to the second, times the root of the period in seconds: the median of 30 annotated
recordings of CirCor at 71 to 141 beats per minute, which deviate from it by 6 %."""
SPREAD = 0.13
"""Relative deviation of a systole measured in an envelope."""
PITCH_WEIGHT = 8.0
"""In those recordings S2 is higher by a factor of 1.2, with a deviation as large."""
STEADINESS_WEIGHT = 1.5
JITTER = 1.5
"""Deviation of an interval from the measurement alone, in steps of the envelope."""


def systole_steps(period: float) -> float:
    """Compute the duration of systole for a heart period, both in steps of the envelope."""
    return SYSTOLE * (period * HOP_S) ** 0.5 / HOP_S


def choose_first_sounds(envelope: Envelope, beats: np.ndarray, period: float) -> np.ndarray:
    """Return the beats, or the other sound of every cycle if that is the first one; in steps of the envelope."""
    if len(beats) < 2:
        return beats.astype(float)
    share = _share_of_other(envelope.loudness, beats)
    lengths = np.append(np.diff(beats), period)
    guesses = np.concatenate([[beats[0] - (1 - share) * period], beats + share * lengths])
    others = [_loudest(envelope.loudness, each, period) for each in guesses if 0 <= each < len(envelope.loudness)]
    others = np.array(others, dtype=int)
    before, after = _intervals(beats, others)
    expected = systole_steps(period) / period
    evidence = (np.log((1 - share) / expected) ** 2 - np.log(share / expected) ** 2) / (2 * SPREAD**2)
    evidence += PITCH_WEIGHT * (np.median(envelope.pitch[others]) - np.median(envelope.pitch[beats]))
    evidence += STEADINESS_WEIGHT * np.log(_deviation(after) / _deviation(before))
    return (beats if evidence >= 0 else others).astype(float)


def _share_of_other(loudness: np.ndarray, beats: np.ndarray) -> float:
    """Estimate the position of the other sound in the cycle, from 0 to 1."""
    phases = np.linspace(0.15, 0.85, 71)
    places = beats[:-1, None] + phases * np.diff(beats)[:, None]
    return float(phases[np.interp(places, np.arange(len(loudness)), loudness).mean(axis=0).argmax()])


def _loudest(loudness: np.ndarray, guess: float, period: float) -> int:
    radius = max(round(0.1 * period), 1)
    start = max(round(guess) - radius, 0)
    return start + int(loudness[start : round(guess) + radius + 1].argmax())


def _intervals(beats: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the intervals from each beat to the other sound, and from there to the next beat."""
    places = np.searchsorted(others, beats[:-1], side="right")
    between = others[np.minimum(places, len(others) - 1)]
    return between - beats[:-1], beats[1:] - between


def _deviation(intervals: np.ndarray) -> float:
    return float(np.sqrt(np.var(intervals) + JITTER**2))

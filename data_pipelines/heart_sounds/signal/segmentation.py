"""Segmentation into heart cycles, from annotated states or from the peaks of the sound's envelope.

The envelope's autocorrelation gives the heart period, dynamic programming (Ellis 2007, "Beat tracking by dynamic
programming") one sound per period; `s1_detection` decides whether it is the first or the second.
"""

from dataclasses import dataclass

import numpy as np

from data_pipelines.heart_sounds.signal.envelope import HOP_S, Envelope, compute_envelope

PERIOD_S = (0.27, 1.65)
"""Shortest and longest heart period, 222 and 36 beats per minute: infants are among the patients."""
CYCLE_S = (0.25, 1.8)
LEAD_S = 0.05
"""Time from the beginning of a valve sound to its loudest moment."""
NEARLY = 0.85
"""Share of the best rating that a shorter period needs."""
TIGHTNESS = 60.0
"""Weight of the distances between sounds against the envelope in units of its standard deviation."""
S1 = 1
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


@dataclass(frozen=True)
class States:
    """Annotated intervals in time order: start and end in seconds, [count], and 1 S1, 2 systole, 3 S2, 4 diastole."""

    starts: np.ndarray
    ends: np.ndarray
    states: np.ndarray


def find_cycles(samples: np.ndarray, rate: int, states: States | None = None) -> np.ndarray:
    """Return int64 [count, 2]: first sample and end of each cycle, from one S1 to the next, of any duration.

    The envelope is used if no annotated cycle is as long as a heart cycle.
    """
    annotated = annotated_cycles(states, rate, len(samples))
    if len(annotated):
        return annotated
    return _between(np.maximum(find_first_sounds(samples, rate) - LEAD_S, 0.0), rate, len(samples))


def annotated_cycles(states: States | None, rate: int, num_samples: int) -> np.ndarray:
    """Return the annotated cycles, int64 [count, 2]; empty when none of them is as long as a heart cycle."""
    cycles = _between(onsets_of(states), rate, num_samples) if states is not None else np.empty((0, 2), np.int64)
    is_usable = any(lasts_as_a_cycle((start, end), rate) for start, end in cycles.tolist())
    return cycles if is_usable else np.empty((0, 2), np.int64)


def onsets_of(states: States) -> np.ndarray:
    """Return the onset in seconds of each annotated S1.

    A gap in the annotation is a NaN between the onsets around it.
    """
    found: list[float] = []
    for index in np.flatnonzero((states.states == S1) | (states.states == 0)):
        found.append(float(states.starts[index]) if states.states[index] == S1 else np.nan)
    return np.array(found)


def cut_windows(num_samples: int, rate: int, window_s: float, hop_s: float) -> np.ndarray:
    """Return int64 [count, 2]: start and end of windows of equal length; a shorter recording gives one shorter window.

    `rate` is in Hz, and `hop_s` the distance between the starts of two windows.
    """
    width, hop = round(window_s * rate), max(round(hop_s * rate), 1)
    starts = np.arange(0, max(num_samples - width, 0) + 1, hop)
    return np.stack([starts, np.minimum(starts + width, num_samples)], axis=1)


def find_first_sounds(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the loudest moment of every S1 in seconds; empty when the sound has no beat."""
    envelope = compute_envelope(samples, rate, shortest_s=2 * PERIOD_S[0])
    period = estimate_period(envelope.loudness)
    if period is None:
        return np.empty(0)
    return choose_first_sounds(envelope, track_beats(envelope.loudness, period), period) * HOP_S


def estimate_period(loudness: np.ndarray) -> float | None:
    """Estimate the heart period in steps of the envelope; None without one.

    The estimate is the smallest lag rated nearly as high as the best, because twice the period correlates as well.
    Where systole and diastole are alike, half the period does too, but there no sound follows at the distance of its
    systole.
    """
    count = len(loudness)
    first, last = round(PERIOD_S[0] / HOP_S), min(round(PERIOD_S[1] / HOP_S), count * 2 // 3)
    if last <= first + 1:
        return None
    spectrum = np.fft.rfft(loudness, 2 * count)
    products = np.fft.irfft(np.abs(spectrum) ** 2)[: last + 2]
    correlation = products / (count - np.arange(len(products)))
    inner = correlation[first : last + 1]
    is_peak = (inner >= correlation[first - 1 : last]) & (inner >= correlation[first + 1 : last + 2])
    lags = np.flatnonzero(is_peak) + first
    if not len(lags) or correlation[lags].max() <= 0:
        return None
    ratings = np.array([correlation[lag] + correlation[_systoles(lag)].max() / 2 for lag in lags.tolist()])
    return float(lags[ratings >= NEARLY * ratings.max()][0])


def _systoles(period: int) -> slice:
    """Return the range of steps within a fifth of the systole for this period."""
    systole = systole_steps(period)
    return slice(int(0.8 * systole), min(int(1.2 * systole), round(0.65 * period)) + 2)


def track_beats(loudness: np.ndarray, period: float) -> np.ndarray:
    """Return steps of the envelope, one per period, that are loud and evenly spaced (Ellis 2007, equation 4)."""
    nearest, farthest = max(round(0.6 * period), 1), round(1.6 * period)
    gaps = np.arange(farthest, nearest - 1, -1)
    penalty = TIGHTNESS * np.log(gaps / period) ** 2
    score, before = loudness.copy(), np.full(len(loudness), -1)
    for step in range(nearest, len(loudness)):
        earliest = step - farthest
        skipped = max(-earliest, 0)
        candidates = score[max(earliest, 0) : step - nearest + 1] - penalty[skipped:]
        best = int(candidates.argmax())
        if candidates[best] > 0:
            score[step] += candidates[best]
            before[step] = max(earliest, 0) + best
    tail = max(len(loudness) - round(1.2 * period), 0)
    beats = [tail + int(score[tail:].argmax())]
    while before[beats[-1]] >= 0:
        beats.append(int(before[beats[-1]]))
    return np.array(beats[::-1])


def lasts_as_a_cycle(cycle: tuple[int, int], rate: int) -> bool:
    """Return whether a heart cycle can last this long; if not, an S1 was missed or another sound taken for one."""
    return CYCLE_S[0] <= (cycle[1] - cycle[0]) / rate <= CYCLE_S[1]


def _between(onsets: np.ndarray, rate: int, num_samples: int) -> np.ndarray:
    if len(onsets) < 2:
        return np.empty((0, 2), np.int64)
    bounds = np.stack([onsets[:-1], onsets[1:]], axis=1)
    bounds = bounds[np.isfinite(bounds).all(axis=1)]  # a NaN is a gap
    return np.minimum(np.round(bounds * rate).astype(np.int64), num_samples)


def systole_steps(period: float) -> float:
    """Compute the duration of systole for a heart period, both in steps of the envelope."""
    return SYSTOLE * (period * HOP_S) ** 0.5 / HOP_S


def choose_first_sounds(envelope: Envelope, beats: np.ndarray, period: float) -> np.ndarray:
    """Return the beats, or the other sound of every cycle if that is the first one; in steps of the envelope.

    Systole is the shorter interval in slow hearts alone: in children it is half of the cycle at about 130 beats per
    minute, and more above. So three signs decide, each as a log likelihood ratio: the duration of systole at this rate,
    the higher pitch of S2, and that systole is the steadier interval (Liang et al. 1997, "Heart sound segmentation
    algorithm based on heart sound envelogram").
    """
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

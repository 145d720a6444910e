"""Finds heart cycles: from the states of an annotation, or from the peaks of the sound's envelope.

The envelope is Shannon's energy, -x^2 log x^2, of the band of the valve sounds, so that murmurs, which are higher, do
not hide them. Its autocorrelation gives the heart period, dynamic programming (Ellis 2007, "Beat tracking by dynamic
programming") one sound per period, and the shorter of the two intervals between sounds is systole, which tells the
first sound from the second.
"""

from dataclasses import dataclass

import numpy as np

from data_pipelines.heart_signal import band_pass

PERIOD_S = (0.27, 1.5)
"""40 to 222 beats per minute: infants are among the patients."""
CYCLE_S = (0.25, 1.8)
HOP_S = 0.005
SMOOTHING_S = 0.04
VALVE_BAND_HZ = (25.0, 150.0)
LEAD_S = 0.05
"""From the beginning of a valve sound to its loudest moment."""
TIGHTNESS = 60.0
"""Of the distances between sounds, against the envelope in units of its standard deviation."""
SYSTOLE, S1 = 2, 1


@dataclass(frozen=True)
class States:
    """Annotated intervals in time order: start and end in seconds, [count], and 1 S1, 2 systole, 3 S2, 4 diastole."""

    starts: np.ndarray
    ends: np.ndarray
    states: np.ndarray


def find_cycles(samples: np.ndarray, rate: int, states: States | None = None) -> np.ndarray:
    """int64 [count, 2]: first sample and end of each cycle, from one first heart sound to the next."""
    onsets = onsets_of(states) if states is not None else np.empty(0)
    if len(onsets) < 2:
        onsets = np.maximum(find_first_sounds(samples, rate) - LEAD_S, 0.0)
    return _between(onsets, rate, len(samples))


def onsets_of(states: States) -> np.ndarray:
    """Seconds at which each annotated S1 begins, when no unannotated stretch lies before the next one.

    A gap is marked by a NaN between the onsets around it.
    """
    found: list[float] = []
    for index in np.flatnonzero((states.states == S1) | (states.states == 0)):
        found.append(float(states.starts[index]) if states.states[index] == S1 else np.nan)
    return np.array(found)


def cut_windows(num_samples: int, rate: int, window_s: float, hop_s: float) -> np.ndarray:
    """int64 [count, 2]: windows of equal length; the only one of a shorter recording ends with it."""
    width, hop = round(window_s * rate), max(round(hop_s * rate), 1)
    starts = np.arange(0, max(num_samples - width, 0) + 1, hop)
    return np.stack([starts, np.minimum(starts + width, num_samples)], axis=1)


def find_first_sounds(samples: np.ndarray, rate: int) -> np.ndarray:
    """Seconds of the loudest moment of every first heart sound; empty when the sound has no beat."""
    envelope = compute_envelope(samples, rate)
    period = estimate_period(envelope)
    if period is None:
        return np.empty(0)
    beats = track_beats(envelope, period)
    return _choose_first_sounds(envelope, beats, period) * HOP_S


def compute_envelope(samples: np.ndarray, rate: int) -> np.ndarray:
    """Smoothed Shannon energy of the valve band every 5 ms, of mean 0 and variance 1."""
    if len(samples) < rate * PERIOD_S[0] * 2:
        return np.empty(0)
    valves = band_pass(samples, rate, VALVE_BAND_HZ)
    peak = np.quantile(np.abs(valves), 0.999)
    if peak < 1e-8:
        return np.empty(0)
    square = np.minimum(np.square(valves / peak), 1.0)
    energy = -square * np.log(np.maximum(square, 1e-12))
    width = max(round(SMOOTHING_S * rate), 1)
    window = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(energy, window / window.sum(), mode="same")
    times = np.arange(0, len(samples) / rate, HOP_S)
    coarse = np.sqrt(np.maximum(np.interp(times * rate, np.arange(len(samples)), smooth), 0))
    return (coarse - coarse.mean()) / max(coarse.std(), 1e-8)


def estimate_period(envelope: np.ndarray) -> float | None:
    """The heart period in steps of the envelope; None without one.

    The smallest lag whose autocorrelation is a peak nearly as high as the highest: twice the period correlates as well,
    and the interval between the two sounds at most half as well, as only one of them meets the other.
    """
    count = len(envelope)
    first, last = round(PERIOD_S[0] / HOP_S), min(round(PERIOD_S[1] / HOP_S), count * 2 // 3)
    if last <= first + 1:
        return None
    spectrum = np.fft.rfft(envelope, 2 * count)
    products = np.fft.irfft(np.abs(spectrum) ** 2)[: last + 2]
    correlation = products / (count - np.arange(len(products)))
    inner = correlation[first : last + 1]
    is_peak = (inner >= correlation[first - 1 : last]) & (inner >= correlation[first + 1 : last + 2])
    lags = np.flatnonzero(is_peak) + first
    if not len(lags) or correlation[lags].max() <= 0:
        return None
    return float(lags[correlation[lags] >= 0.85 * correlation[lags].max()][0])


def track_beats(envelope: np.ndarray, period: float) -> np.ndarray:
    """Steps of the envelope, one per period, that are loud and evenly spaced (Ellis 2007, equation 4)."""
    nearest, farthest = max(round(0.6 * period), 1), round(1.6 * period)
    gaps = np.arange(farthest, nearest - 1, -1)
    penalty = TIGHTNESS * np.log(gaps / period) ** 2
    score, before = envelope.copy(), np.full(len(envelope), -1)
    for step in range(nearest, len(envelope)):
        earliest = step - farthest
        skipped = max(-earliest, 0)
        candidates = score[max(earliest, 0) : step - nearest + 1] - penalty[skipped:]
        best = int(candidates.argmax())
        if candidates[best] > 0:
            score[step] += candidates[best]
            before[step] = max(earliest, 0) + best
    tail = max(len(envelope) - round(1.2 * period), 0)
    beats = [tail + int(score[tail:].argmax())]
    while before[beats[-1]] >= 0:
        beats.append(int(before[beats[-1]]))
    return np.array(beats[::-1])


def _choose_first_sounds(envelope: np.ndarray, beats: np.ndarray, period: float) -> np.ndarray:
    """The beats, or the other sound of every cycle when that comes first after diastole, the longer interval."""
    if len(beats) < 2:
        return beats.astype(float)
    phases = np.linspace(0.15, 0.85, 71)
    places = beats[:-1, None] + phases * np.diff(beats)[:, None]
    profile = np.interp(places, np.arange(len(envelope)), envelope).mean(axis=0)
    other = float(phases[profile.argmax()])
    if other < 0.5:
        return beats.astype(float)
    lengths = np.append(np.diff(beats), period)
    guesses = np.concatenate([[beats[0] - (1 - other) * period], beats + other * lengths])
    radius = max(round(0.1 * period), 1)
    return np.array([_loudest(envelope, guess, radius) for guess in guesses if 0 <= guess < len(envelope)])


def _loudest(envelope: np.ndarray, guess: float, radius: int) -> float:
    start = max(round(guess) - radius, 0)
    return float(start + envelope[start : round(guess) + radius + 1].argmax())


def _between(onsets: np.ndarray, rate: int, num_samples: int) -> np.ndarray:
    if len(onsets) < 2:
        return np.empty((0, 2), np.int64)
    durations = np.diff(onsets)
    is_cycle = (durations >= CYCLE_S[0]) & (durations <= CYCLE_S[1])  # false for the gaps, which are NaN
    bounds = np.stack([onsets[:-1], onsets[1:]], axis=1)[is_cycle]
    return np.minimum(np.round(bounds * rate).astype(np.int64), num_samples)

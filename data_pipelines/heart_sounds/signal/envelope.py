"""Envelope for the segmentation: loudness and pitch of the valve sounds, every 5 ms."""

from typing import NamedTuple

import numpy as np

from data_pipelines.heart_sounds.signal.preprocessing import band_pass

HOP_S = 0.005
SMOOTHING_S = 0.04
PITCH_WINDOW_S = 0.08
VALVE_BAND_HZ = (25.0, 150.0)


class Envelope(NamedTuple):
    """Two curves of equal length, one value for each step."""

    loudness: np.ndarray
    """Smoothed Shannon energy, -x^2 log x^2, of mean 0 and variance 1; empty when the sound is silent or too short."""
    pitch: np.ndarray
    """Logarithm of the root-mean-square frequency, up to a constant."""


def compute_envelope(samples: np.ndarray, rate: int, *, shortest_s: float) -> Envelope:
    """Compute the envelope of the band of the valve sounds, so that murmurs, which are higher, do not mask them."""
    nothing = Envelope(np.empty(0), np.empty(0))
    if len(samples) < rate * shortest_s:
        return nothing
    valves = band_pass(samples, rate, VALVE_BAND_HZ)
    peak = np.quantile(np.abs(valves), 0.999)
    if peak < 1e-8:
        return nothing
    square = np.minimum(np.square(valves / peak), 1.0)
    energy = _smooth(-square * np.log(np.maximum(square, 1e-12)), rate, SMOOTHING_S)
    loudness = np.sqrt(np.maximum(energy, 0))
    slope = np.square(np.gradient(valves))
    power = [np.maximum(_smooth(each, rate, PITCH_WINDOW_S), 1e-30) for each in (slope, np.square(valves))]
    return Envelope((loudness - loudness.mean()) / max(loudness.std(), 1e-8), np.log(power[0] / power[1]) / 2)


def _smooth(values: np.ndarray, rate: int, width_s: float) -> np.ndarray:
    """Compute the mean under a Hann window at each step."""
    window = np.hanning(max(round(width_s * rate), 1) + 2)[1:-1]
    smooth = np.convolve(values, window / window.sum(), mode="same")
    return np.interp(np.arange(0, len(values) / rate, HOP_S) * rate, np.arange(len(values)), smooth)

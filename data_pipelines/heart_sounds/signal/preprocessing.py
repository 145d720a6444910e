"""Preprocessing of a sound to the stored waveform: resampled, band-passed without phase shift, of unit variance."""

import math

import numpy as np
from scipy import signal

from data_pipelines.readers.sound_file import Sound

ORDER = 4
SILENCE = 1e-8
MIN_RATE = 1000
"""Lowest sample rate in Hz; at a lower rate the recording lacks the band of heart sounds."""


def preprocess(sound: Sound, *, rate: int, band_hz: tuple[float, float]) -> np.ndarray:
    """Return float32 samples at `rate` Hz; zeros for a silent recording.

    Raises ValueError for a rate that is too low.
    """
    if sound.rate < MIN_RATE:
        raise ValueError(f"the sample rate is {sound.rate} Hz, expected at least {MIN_RATE}")
    samples = resample(sound.samples, sound.rate, rate)
    return standardise(band_pass(samples, rate, band_hz)).astype(np.float32)


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample by a polyphase filter, with the low-pass that the lower rate needs."""
    divisor = math.gcd(rate, new_rate)
    if rate == new_rate:
        return samples
    return signal.resample_poly(samples, new_rate // divisor, rate // divisor)


def band_pass(samples: np.ndarray, rate: int, band_hz: tuple[float, float]) -> np.ndarray:
    """Filter by a Butterworth of order 4, forwards and backwards.

    Second-order sections stay exact at low edges.
    """
    sections = np.asarray(signal.butter(ORDER, band_hz, "bandpass", fs=rate, output="sos"))
    padding = min(3 * (2 * len(sections) + 1), len(samples) - 1)
    return signal.sosfiltfilt(sections, samples, padlen=max(padding, 0))


def standardise(samples: np.ndarray) -> np.ndarray:
    """Scale to mean 0 and variance 1 over the complete recording, so that loud and soft cycles stay different."""
    deviation = samples.std()
    return np.zeros_like(samples) if deviation < SILENCE else (samples - samples.mean()) / deviation

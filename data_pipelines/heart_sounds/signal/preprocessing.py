"""Preprocessing of a sound to the stored waveform: resampled, band-passed without phase shift, of unit variance."""

import math

import numpy as np
from scipy import signal

from data_pipelines.readers.sound_file import Sound

ORDER = 4
SILENCE = 1e-8
MIN_RATE = 1000
"""Lowest sample rate in Hz; at a lower rate the recording lacks the band of heart sounds."""
MAX_RATIO_TERM = 100_000
"""Largest term of the reduced ratio of two rates; the filter between them has twenty values for each of its steps."""


def preprocess(sound: Sound, *, rate: int, band_hz: tuple[float, float]) -> np.ndarray:
    """Return float32 samples at `rate` Hz; zeros for a silent recording.

    Raises ValueError for a rate that is too low, or has too odd a ratio to `rate`.
    """
    if sound.rate < MIN_RATE:
        raise ValueError(f"the sample rate is {sound.rate} Hz, expected at least {MIN_RATE}")
    samples = resample(sound.samples, sound.rate, rate)
    return standardise(band_pass(samples, rate, band_hz)).astype(np.float32)


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample by a polyphase filter, with the low-pass that the lower rate needs.

    Raises ValueError when the filter would be too long, as between rates that have no common divisor.
    """
    if rate == new_rate:
        return samples
    divisor = math.gcd(rate, new_rate)
    up, down = new_rate // divisor, rate // divisor
    if max(up, down) > MAX_RATIO_TERM:
        fault = f"the sample rate is {rate:,} Hz, which has no simple ratio to {new_rate:,} Hz ({down:,} to {up:,})"
        raise ValueError(f"{fault}; convert it first (`ffmpeg -i a.wav -ar {new_rate} b.wav`)")
    return signal.resample_poly(samples, up, down)


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

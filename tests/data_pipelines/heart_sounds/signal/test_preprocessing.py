"""Rates, the pass band, and the scale of stored waveforms."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from data_pipelines.heart_sounds.signal.preprocessing import band_pass, preprocess, resample
from data_pipelines.readers.sound_file import Sound


def tone(frequency: float, rate: int, duration_s: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * duration_s)) / rate)


@pytest.mark.parametrize("rate", [2000, 4000, 8000, 11025, 44100])
def test_a_tone_of_any_rate_becomes_the_same_tone(rate):
    found = preprocess(Sound(tone(100, rate), rate), rate=5000, band_hz=(25, 400))
    assert len(found) == 10_000 and found.dtype == np.float32
    middle = slice(2500, 7500)
    assert found[middle] == pytest.approx(np.sqrt(2) * tone(100, 5000)[middle], abs=0.03)


@pytest.mark.parametrize(
    ("frequency", "low", "high"), [(5, 0, 0.01), (100, 0.99, 1.01), (300, 0.9, 1.01), (900, 0, 0.01)]
)
def test_the_band_passes_heart_sounds_and_murmurs_without_delay(frequency, low, high):
    given = tone(frequency, 5000)
    found = band_pass(given, 5000, (25, 400))
    middle = slice(2500, 7500)
    assert low <= np.dot(found[middle], given[middle]) / np.dot(given[middle], given[middle]) <= high


def test_loudness_does_not_matter_and_silence_stays_silent():
    loud, soft = (preprocess(Sound(a * tone(80, 4000), 4000), rate=2000, band_hz=(25, 400)) for a in (1, 1e-3))
    assert loud == pytest.approx(soft, abs=1e-4)
    assert not preprocess(Sound(np.zeros(4000), 4000), rate=2000, band_hz=(25, 400)).any()


def test_a_rate_below_the_band_is_refused():
    with pytest.raises(ValueError, match="500 Hz, expected at least 1000"):
        preprocess(Sound(np.zeros(500), 500), rate=5000, band_hz=(25, 400))


@pytest.mark.parametrize(
    ("rate", "up", "down"),
    [
        (4000, 5, 4), (4001, 5000, 4001), (8000, 5, 8), (11025, 200, 441), (44100, 50, 441), (48_000, 5, 48),
        (96_000, 5, 96), (97_656, 625, 12207), (99_991, 5000, 99_991), (192_000, 5, 192), (768_000, 5, 768),
    ],
)  # fmt: skip
def test_real_and_odd_rates_are_resampled_to_the_last_bit(rate, up, down):
    samples = np.random.default_rng(0).standard_normal(2000)
    np.testing.assert_array_equal(resample(samples, rate, 5000), resample_poly(samples, up, down))


def test_a_rate_whose_filter_has_no_bound_is_refused():
    words = "767,957 Hz, which has no simple ratio to 5,000 Hz .*; convert it first .`ffmpeg -i a.wav -ar 5000 b.wav`"
    with pytest.raises(ValueError, match=words):
        preprocess(Sound(np.zeros(16_000), 767_957), rate=5000, band_hz=(25, 400))

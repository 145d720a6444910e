"""Likeness of cycles and clipping, against loops; noise against beats."""

import numpy as np
import pytest

from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound
from data_pipelines.heart_sounds.signal.envelope import HOP_S, compute_envelope
from data_pipelines.heart_sounds.signal.preprocessing import preprocess
from data_pipelines.heart_sounds.signal.quality import LEAST_ALIKE, clipped_ratio, compute_likeness
from data_pipelines.heart_sounds.signal.segmentation import find_cycles
from data_pipelines.readers.sound_file import Sound

RATE = 1000


def likeness_of(sound: Sound) -> float:
    samples = preprocess(sound, rate=RATE, band_hz=(25.0, 400.0))
    starts, ends = find_cycles(samples, RATE).T.tolist()
    return compute_likeness(samples, RATE, starts, ends)


def test_likeness_is_the_mean_correlation_of_other_cycles():
    samples = np.random.default_rng(0).normal(size=4000)
    bounds = [(100, 900), (900, 1800), (2000, 2700)]
    loudness = compute_envelope(samples, RATE, shortest_s=0).loudness
    curves = []
    for start, end in bounds:
        first, last = round(start / RATE / HOP_S), round(end / RATE / HOP_S)
        curves.append(np.interp(np.linspace(first, last - 1, 100), np.arange(len(loudness)), loudness))
    total = sum(np.corrcoef(curves[i], curves[j])[0, 1] for i in range(3) for j in range(3) if i != j)
    found = compute_likeness(samples, RATE, [start for start, _ in bounds], [end for _, end in bounds])
    assert found == pytest.approx(total / 9)


@pytest.mark.parametrize("exponent", [0, 0.5, 1], ids=["white", "pink", "brown"])
def test_noise_is_less_alike_than_noisy_beats(exponent):
    for seed in range(5):
        generator = np.random.default_rng(seed)
        spectrum = np.fft.rfft(generator.normal(size=40_000))
        frequencies = np.maximum(np.fft.rfftfreq(40_000, 1 / 4000), 1)
        noise = np.fft.irfft(spectrum / frequencies**exponent, 40_000)
        assert likeness_of(Sound(noise, 4000)) < LEAST_ALIKE
        made = generate_heart_sound(generator, duration_s=10, beats_per_min=60 + 20 * seed, snr_db=5)
        assert likeness_of(made.sound) > 2 * LEAST_ALIKE


def test_one_cycle_and_silence_are_like_nothing():
    assert compute_likeness(np.random.default_rng(0).normal(size=4000), RATE, [100], [900]) == 0
    assert compute_likeness(np.zeros(4000), RATE, [0, 1000], [1000, 2000]) == 0
    assert compute_likeness(np.ones(4000), RATE, [], []) == 0


def test_runs_at_the_peak_count_as_clipped():
    samples = np.array([0, 1, 1, 1, 0.5, 1, 1, 0, -1, -1, -1, -1, 0.2, 1, -0.3, 0, 0, 0, 0, 0])
    assert clipped_ratio(samples) == pytest.approx(7 / 20)
    assert clipped_ratio(np.zeros(20)) == 0 and clipped_ratio(np.ones(2)) == 0


def test_clipping_grows_with_the_gain():
    beats = generate_heart_sound(np.random.default_rng(0), duration_s=5, beats_per_min=70).sound.samples
    shares = [clipped_ratio((gain * beats).clip(-1, 1)) for gain in (1, 4, 16, 64)]
    assert shares[0] < 0.001 and shares == sorted(shares) and shares[-1] > 0.15

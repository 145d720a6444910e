"""The segmenter against sounds whose beats are known, and cycles from annotated states."""

import numpy as np
import pytest

from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound
from data_pipelines.heart_sounds.signal.envelope import HOP_S, Envelope
from data_pipelines.heart_sounds.signal.preprocessing import preprocess
from data_pipelines.heart_sounds.signal.segmentation import (
    States,
    choose_first_sounds,
    cut_windows,
    estimate_period,
    find_cycles,
    find_first_sounds,
    systole_steps,
)

RATE = 2000


def measure(beats_per_min: float, murmur: float, snr_db: float) -> tuple[float, float, float]:
    """Share of first sounds found within 60 ms, share of finds that are one, mean error in seconds; 5 recordings."""
    hits, finds, beats, errors = 0, 0, 0, []
    for seed in range(5):
        made = generate_heart_sound(
            np.random.default_rng(seed), duration_s=10, beats_per_min=beats_per_min, murmur=murmur, snr_db=snr_db
        )
        samples = preprocess(made.sound, rate=RATE, band_hz=(25, 400))
        found = find_first_sounds(samples, RATE)
        for beat in made.first_sounds_s:
            error = min(abs(beat - time) for time in found)
            hits += error < 0.06
            errors += [error] if error < 0.06 else []
        finds, beats = finds + len(found), beats + len(made.first_sounds_s)
    return hits / beats, hits / finds, float(np.mean(errors))


@pytest.mark.parametrize("beats_per_min", [40, 50, 75, 100, 130, 160, 190, 215])
@pytest.mark.parametrize(("murmur", "snr_db"), [(0.0, 20), (0.4, 20), (0.0, 10)])
def test_s1_is_found_at_all_heart_rates_with_and_without_murmurs(beats_per_min, murmur, snr_db):
    sensitivity, precision, error_s = measure(beats_per_min, murmur, snr_db)
    assert sensitivity >= 0.96 and precision >= 0.9 and error_s < 0.015


@pytest.mark.parametrize("beats_per_min", [60, 190])
def test_systole_length_decides_when_s1_and_s2_are_alike(beats_per_min):
    """One step of the envelope is 5 ms; the two sounds have the same loudness, pitch and steadiness."""
    period = 60 / beats_per_min / HOP_S
    first = np.round(np.arange(20, 2000, period)).astype(int)
    second = first + round(systole_steps(period))
    loudness = np.zeros(2200)
    loudness[[*first, *second]] = 1.0
    envelope = Envelope(loudness, np.zeros(2200))
    for beats in (first, second):
        chosen = choose_first_sounds(envelope, beats, period)
        assert set(chosen[:-1]) <= set(first) and len(chosen) >= len(first) - 1


def test_the_higher_sound_is_s2_when_both_intervals_are_alike():
    period = 0.46 / HOP_S  # systole takes nearly half of it
    sounds = np.round(np.arange(20, 2000, period / 2)).astype(int)
    loudness, pitch = np.zeros(2200), np.zeros(2200)
    loudness[sounds], pitch[sounds[1::2]] = 1.0, 0.2
    for beats in (sounds[::2], sounds[1::2]):
        chosen = choose_first_sounds(Envelope(loudness, pitch), beats, period)
        assert set(chosen[:-1]) <= set(sounds[::2]) and len(chosen) >= len(sounds[::2]) - 1


def test_half_the_period_is_not_taken_for_the_period():
    loudness = np.full(4000, -0.2)
    jitter = np.random.default_rng(0).normal(0, 2.5, 100)
    for beat, error in zip(np.arange(20, 3800, 120), jitter, strict=False):  # 0.6 s apart
        for place, size in ((beat + error, 1.0), (beat + 54, 0.9)):
            loudness += size * np.exp(-0.5 * ((np.arange(4000) - place) / 8) ** 2)
    assert estimate_period(loudness - loudness.mean()) == pytest.approx(120, abs=3)


def test_cycles_of_a_fast_heart_are_kept():
    made = generate_heart_sound(np.random.default_rng(0), duration_s=10, beats_per_min=170)
    cycles = find_cycles(preprocess(made.sound, rate=RATE, band_hz=(25, 400)), RATE)
    assert len(cycles) >= 25 and np.diff(cycles).mean() == pytest.approx(RATE * 60 / 170, rel=0.05)


def test_annotated_states_give_s1_cycles_but_not_across_a_gap():
    rows = [(0, 0.5, 0), (0.5, 0.6, 1), (0.6, 0.8, 2), (0.8, 0.9, 3), (0.9, 1.3, 4), (1.3, 1.4, 1), (1.4, 1.6, 2)]
    rows += [(1.6, 1.7, 3), (1.7, 2.1, 0), (2.1, 2.2, 1), (2.2, 2.5, 2), (2.5, 2.6, 3), (2.6, 3.1, 4), (3.1, 3.2, 1)]
    starts, ends, states = np.array(rows).T
    cycles = find_cycles(np.zeros(4 * RATE), RATE, States(starts, ends, states.astype(int)))
    assert cycles.tolist() == [[1000, 2600], [4200, 6200]]


@pytest.mark.parametrize("rows", [[(0.5, 0.6, 1), (0.6, 6, 0), (6, 6.1, 1)], [(0.5, 0.6, 1), (6, 6.1, 1)], []])
def test_states_without_a_plausible_cycle_fall_back_to_envelope(rows):
    made = generate_heart_sound(np.random.default_rng(0), duration_s=10, beats_per_min=75)
    samples = preprocess(made.sound, rate=RATE, band_hz=(25, 400))
    starts, ends, states = np.array(rows).T if rows else np.empty((3, 0))
    found = find_cycles(samples, RATE, States(starts, ends, states.astype(int)))
    assert len(found) > 8 and found.tolist() == find_cycles(samples, RATE).tolist()


def test_silence_and_a_moment_have_no_beats():
    assert find_cycles(np.zeros(4 * RATE), RATE).shape == (0, 2)
    assert find_cycles(np.random.default_rng(0).normal(size=200), RATE).shape == (0, 2)


def test_windows_overlap_and_a_short_recording_has_one_window():
    assert cut_windows(10, 2, window_s=2, hop_s=1).tolist() == [[0, 4], [2, 6], [4, 8], [6, 10]]
    assert cut_windows(3, 2, window_s=2, hop_s=1).tolist() == [[0, 3]]

"""Cycles of one length, and those that are clean."""

import numpy as np
import pytest

from data_pipelines.heart_sounds.signal.cycles import is_clean, resample_cycles


def test_cycles_are_resampled_to_any_length_with_their_ends():
    waveform, starts, ends = np.random.default_rng(0).normal(size=90), [0, 30, 30, 71], [30, 80, 32, 90]
    for found, start, end in zip(resample_cycles(waveform, starts, ends, 99), starts, ends, strict=True):
        cycle = waveform[start:end]
        assert found == pytest.approx(np.interp(np.linspace(0, len(cycle) - 1, 99), np.arange(len(cycle)), cycle))
        assert found[[0, -1]] == pytest.approx(cycle[[0, -1]])


def test_clicks_and_silence_are_no_clean_cycles_and_murmurs_are():
    beat = np.sin(np.arange(2000) / 5)
    assert is_clean(beat) and is_clean(np.sin(np.arange(2000)))
    assert not is_clean(np.zeros(100)) and not is_clean(np.eye(1, 2000)[0])
    assert not is_clean(np.where(np.arange(2000) < 700, 0, beat))

"""Pictures of cycles show frequencies in hertz, whatever a cycle lasts."""

import numpy as np
import pytest

from trainables.workloads.heart_sound.plots import SHOWN_HZ, spectrogram


@pytest.mark.parametrize("duration_s", [0.3, 0.8, 1.6])
def test_a_tone_is_drawn_at_its_frequency(duration_s):
    seconds = np.linspace(0, duration_s, 4000)
    picture = spectrogram(np.sin(2 * np.pi * 200 * seconds), duration_s)
    loudest = int(picture.astype(int).sum(axis=1).argmax())
    assert 1 - (loudest + 0.5) / len(picture) == pytest.approx(200 / SHOWN_HZ, abs=0.05)

"""Each random change by itself, against what it may do."""

import pytest
import torch

from data_pipelines.contract.row_draws import torch_draws
from data_pipelines.heart_sounds.augmentation import augment_cycles
from data_pipelines.heart_sounds.config import Augmentation

NOTHING = {
    f"{name}_probability": 0 for name in ("shift", "stretch", "amplitude", "noise", "time_mask", "frequency_mask")
}
BAND = (0.1, 0.6)


def change(signal, seed=0, **settings):
    low, high = (torch.full((len(signal),), edge) for edge in BAND)
    draws = torch_draws(len(signal), seed)
    return augment_cycles(signal, Augmentation(**{**NOTHING, **settings}), band=(low, high), draws=draws)


@pytest.fixture
def signal() -> torch.Tensor:
    return torch.randn(64, 200, generator=torch.Generator().manual_seed(1))


def test_without_any_change_the_signal_is_the_same(signal):
    torch.testing.assert_close(change(signal), signal)


def test_a_shift_is_circular_and_bounded(signal):
    found = change(signal, shift_probability=1, shift_ratio=0.1)
    for row, given in zip(found, signal, strict=True):
        assert any(torch.allclose(row, given.roll(step), atol=1e-5) for step in range(-20, 21))
    assert not torch.allclose(found, signal)


def test_amplitude_scales_rows_within_its_range(signal):
    ratio = change(signal, amplitude_probability=1, amplitude_ratio=0.2) / signal
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-3, atol=1e-3)
    assert 0.8 <= float(ratio.min()) < 0.85 and 1.15 < float(ratio.max()) <= 1.2001


def test_noise_has_the_asked_ratio(signal):
    noise = change(signal, noise_probability=1, noise_snr_db=(20.0, 20.0)) - signal
    assert 10 * torch.log10(signal.square().mean() / noise.square().mean()) == pytest.approx(20, abs=0.3)


def test_time_masks_silence_a_bounded_share(signal):
    share = (change(signal, time_mask_probability=1, num_time_masks=2, time_mask_ratio=0.1) == 0).float().mean(1)
    assert 0 < float(share.mean()) < 0.15 and float(share.max()) <= 0.21


def test_the_frequency_mask_lies_inside_the_band(signal):
    found = change(signal, frequency_mask_probability=1, frequency_mask_ratio=0.5)
    lost = (torch.fft.rfft(signal) - torch.fft.rfft(found)).abs() > 1e-3
    shares = torch.linspace(0, 1, lost.shape[1])
    assert lost.any() and not lost[:, (shares < BAND[0] - 1e-6) | (shares > BAND[1])].any()
    assert float(lost.float().mean(1).max()) <= 0.26


def test_time_stretch_moves_a_peak_from_or_to_the_middle():
    signal = torch.zeros(32, 201)
    signal[:, 150] = 1
    peaks = change(signal, stretch_probability=1, stretch_ratio=0.1).argmax(1)
    assert 145 <= int(peaks.min()) < 148 and 152 < int(peaks.max()) <= 155


def test_the_share_of_changed_rows_is_the_probability():
    signal = torch.randn(2000, 8, generator=torch.Generator().manual_seed(1))
    is_changed = (change(signal, amplitude_probability=0.3) - signal).abs().amax(1) > 1e-6
    assert float(is_changed.float().mean()) == pytest.approx(0.3, abs=0.03)

"""Random augmentation of heart cycles on the device: shift, stretch, loudness, noise, time masks, a frequency mask."""

import torch
from jaxtyping import Float
from torch import Tensor

from data_pipelines.contract.row_draws import TorchDraws
from data_pipelines.heart_sounds.config import Augmentation

Signal = Float[Tensor, "batch samples"]
Band = tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]


def augment_cycles(signal: Signal, settings: Augmentation, *, band: Band, draws: TorchDraws) -> Signal:
    """Return an augmented copy, with independent draws for each row.

    `band` is each row's pass band, as shares of its Nyquist frequency; `draws` are on the signal's device.
    """
    draw = _Draw(draws)
    signal = _warp(signal, settings, draw)
    loudness = 1 + settings.amplitude_ratio * draw.symmetric() * draw.chance(settings.amplitude_probability)
    signal = _add_noise(signal * loudness[:, None], settings, draw, draws)
    signal = _mask_time(signal, settings, draw)
    return _mask_band(signal, settings, draw, band)


class _Draw:
    """Random draws of one number for each row."""

    def __init__(self, draws: TorchDraws) -> None:
        self._draws = draws

    def uniform(self) -> Tensor:
        return self._draws.uniform()

    def symmetric(self) -> Tensor:
        return 2 * self.uniform() - 1

    def chance(self, probability: float) -> Tensor:
        return (self.uniform() < probability).float()


def _warp(signal: Signal, settings: Augmentation, draw: _Draw) -> Signal:
    """Shift circularly, then stretch around the middle, in one linear interpolation."""
    length = signal.shape[1]
    shift = settings.shift_ratio * length * draw.symmetric() * draw.chance(settings.shift_probability)
    factor = 1 + settings.stretch_ratio * draw.symmetric() * draw.chance(settings.stretch_probability)
    places = torch.arange(length, device=signal.device, dtype=signal.dtype)
    middle = (length - 1) / 2
    stretched = (places - middle) / factor[:, None] + middle
    is_inside = (stretched >= 0) & (stretched <= length - 1)
    wanted = torch.remainder(stretched - shift.round()[:, None], length)
    low = wanted.floor()
    weight = wanted - low
    low = low.long() % length
    values = torch.lerp(signal.gather(1, low), signal.gather(1, (low + 1) % length), weight)
    return values * is_inside


def _add_noise(signal: Signal, settings: Augmentation, draw: _Draw, draws: TorchDraws) -> Signal:
    low, high = settings.noise_snr_db
    ratio = 10 ** (-(low + (high - low) * draw.uniform()) / 20) * draw.chance(settings.noise_probability)
    noise = draws.normal(signal.shape[1]).to(signal.dtype)
    level = signal.square().mean(dim=1).sqrt() * ratio
    return signal + level[:, None] * noise


def _mask_time(signal: Signal, settings: Augmentation, draw: _Draw) -> Signal:
    places = torch.arange(signal.shape[1], device=signal.device) / signal.shape[1]
    is_masked_row = draw.chance(settings.time_mask_probability)
    keep = torch.ones_like(signal)
    for _ in range(settings.num_time_masks):
        width = settings.time_mask_ratio * draw.uniform() * is_masked_row
        start = draw.uniform() * (1 - width)
        inside = (places >= start[:, None]) & (places < (start + width)[:, None])
        keep = keep * ~inside
    return signal * keep


def _mask_band(signal: Signal, settings: Augmentation, draw: _Draw, band: Band) -> Signal:
    low, high = band
    width = settings.frequency_mask_ratio * (high - low) * draw.uniform()
    width = width * draw.chance(settings.frequency_mask_probability)
    start = low + draw.uniform() * (high - low - width)
    if settings.frequency_mask_probability == 0:
        return signal
    spectrum = torch.fft.rfft(signal)
    shares = torch.linspace(0, 1, spectrum.shape[1], device=signal.device)
    inside = (shares >= start[:, None]) & (shares < (start + width)[:, None])
    return torch.fft.irfft(spectrum * ~inside, n=signal.shape[1])

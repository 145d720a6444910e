"""The terms of the training loss, on images in 0..1."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trainables.workloads.super_resolution.loss_grammar import Term

Images = Float[Tensor, "batch channels height width"]
_FREQUENCY_WEIGHT = 0.01
"""Weight of the frequency part beside L1 in StableFFT, Freq and FreqNorm."""


def compute_terms(terms: Sequence[Term], image: Images, target: Images) -> dict[str, Float[Tensor, ""]]:
    """Compute each term times its weight, by metric name, in float32; the loss is their sum."""
    image, target = image.float(), target.float()
    return {term.metric: term.weight * _LOSSES[term.type](image, target) for term in terms}


def fft_loss(image: Images, target: Images) -> Float[Tensor, ""]:
    """Compute the mean absolute difference of the real and the imaginary parts of the 2-D Fourier transforms."""
    difference = torch.fft.fft2(image) - torch.fft.fft2(target)
    return torch.view_as_real(difference).abs().mean()


def fft_magnitude_loss(image: Images, target: Images) -> Float[Tensor, ""]:
    """Compute the mean magnitude of the difference of the 2-D real Fourier transforms."""
    return torch.fft.rfft2(image - target).abs().mean()


def stable_fft_loss(image: Images, target: Images) -> Float[Tensor, ""]:
    """Compute L1 plus 0.01 times the mean magnitude of the difference of the orthonormal transforms without DC."""
    difference = torch.fft.rfft2(image - target, norm="ortho").abs().flatten(-2)[..., 1:]
    return functional.l1_loss(image, target) + _FREQUENCY_WEIGHT * difference.mean()


def frequency_loss(image: Images, target: Images) -> Float[Tensor, ""]:
    """Compute L1 plus 0.01 times `fft_magnitude_loss`; the original has two names for it."""
    return functional.l1_loss(image, target) + _FREQUENCY_WEIGHT * fft_magnitude_loss(image, target)


_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "L1": functional.l1_loss,
    "MSE": functional.mse_loss,
    "FFT": fft_loss,
    "FFTL1": fft_magnitude_loss,
    "StableFFT": stable_fft_loss,
    "Freq": frequency_loss,
    "FreqNorm": frequency_loss,
}

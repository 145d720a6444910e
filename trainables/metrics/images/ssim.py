"""Structural similarity of 8-bit images (Wang et al. 2004)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trainables.metrics.images.psnr import Image

WINDOW, SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def compute_ssim(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute the mean over channels and positions where the complete 11x11 Gaussian window (sigma 1.5) fits.

    Grey levels 0..255. Raises ValueError for images smaller than the window.
    """
    if min(image.shape[-2:]) < WINDOW:
        raise ValueError(
            f"SSIM needs images of at least {WINDOW}x{WINDOW} pixels, these are {image.shape[-1]}x{image.shape[-2]}"
        )
    # one channel after the other: a convolution of float64 takes memory for each place of its window
    channels = zip(image.double(), reference.double(), strict=True)
    return torch.stack([_compare(x, y).mean() for x, y in channels]).mean()


def _compare(x: Tensor, y: Tensor) -> Tensor:
    mean_x, mean_y, square_x, square_y, product = (_blur(each) for each in (x, y, x * x, y * y, x * y))
    var_x, var_y, covariance = square_x - mean_x**2, square_y - mean_y**2, product - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return luminance * structure


def _blur(pixels: Tensor) -> Tensor:
    places = torch.arange(WINDOW, dtype=torch.float64, device=pixels.device) - WINDOW // 2
    weights = torch.exp(-places.square() / (2 * SIGMA**2))
    weights = weights / weights.sum()
    down = functional.conv2d(pixels[None, None], weights.view(1, 1, -1, 1))
    return functional.conv2d(down, weights.view(1, 1, 1, -1))[0, 0]

"""Means, variances and covariance of two images in all windows of 8x8 pixels."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

WINDOW = 8
_NOISE = 1e-9
"""Variances below this come from rounding: grey levels are whole numbers, or filtered ones."""


class LocalMoments(NamedTuple):
    """Moments for each channel and each window inside the image."""

    mean_x: Tensor
    mean_y: Tensor
    var_x: Tensor
    var_y: Tensor
    covariance: Tensor


def local_moments(x: Float[Tensor, "channels height width"], y: Float[Tensor, "channels height width"]) -> LocalMoments:
    """Compute the moments in float64; exactly 0 where a window is flat. Raises ValueError below the window's size."""
    if min(x.shape[-2:]) < WINDOW:
        raise ValueError(f"windows of {WINDOW}x{WINDOW} do not fit into {x.shape[-1]}x{x.shape[-2]} pixels")
    x, y = x.double(), y.double()
    means = functional.avg_pool2d(torch.stack([x, y, x * x, y * y, x * y]), WINDOW, stride=1)
    mean_x, mean_y, square_x, square_y, product = means
    var_x, var_y = (_without_noise(square - mean.square()) for square, mean in ((square_x, mean_x), (square_y, mean_y)))
    return LocalMoments(mean_x, mean_y, var_x, var_y, product - mean_x * mean_y)


def _without_noise(variance: Tensor) -> Tensor:
    return torch.where(variance > _NOISE, variance, 0.0)

"""Metrics of remote sensing: agreement of edges (SCC), angle of colours (SAM), universal quality index (UQI)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trainables.metrics.images.psnr import Image

WINDOW = 8
_NOISE = 1e-9
"""Variances below this come from rounding: grey levels are whole numbers, or filtered ones."""


class LocalMoments(NamedTuple):
    """Moments for each channel and each window of 8x8 pixels inside the image."""

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


def compute_scc(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute the correlation of the two images after a Laplacian, in windows of 8x8; mean over windows and channels.

    Zhou, Civco and Silander 1998. The Laplacian is 8 in the middle and -1 around it, taken where it fits; windows in
    which one of the images has no edges count as 0. (The package sewar also counts the image's mirrored borders; its
    numbers differ.)
    """
    local = local_moments(_laplacian(image), _laplacian(reference))
    spread = (local.var_x * local.var_y).sqrt()
    return torch.where(spread > 0, local.covariance / spread.clamp(min=1e-300), 0.0).mean()


def _laplacian(image: Tensor) -> Tensor:
    weight = torch.full((1, 1, 3, 3), -1.0, dtype=torch.float64, device=image.device)
    weight[..., 1, 1] = 8.0
    return functional.conv2d(image.double()[:, None], weight)[:, 0]


def compute_sam(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute the angle between the colour vectors of each pixel, in radians, mean over the pixels.

    Kruse et al. 1993. A black pixel has no direction: its angle is 0 to another black one and pi/2 to any other. (The
    package sewar takes the angle between whole channels instead; its numbers differ.)
    """
    x, y = image.double().flatten(1), reference.double().flatten(1)
    norms = x.norm(dim=0) * y.norm(dim=0)
    cosine = torch.where(norms > 0, (x * y).sum(dim=0) / norms.clamp(min=1e-300), 0.0).clamp(-1, 1)
    both_black = (x.norm(dim=0) == 0) & (y.norm(dim=0) == 0)
    return torch.where(both_black, 0.0, torch.arccos(cosine)).mean()


def compute_uqi(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute 4 cov(x,y) mean(x) mean(y) / ((var(x) + var(y)) (mean(x)^2 + mean(y)^2)).

    Wang and Bovik 2002. The result is the mean over windows of 8x8 and channels. Where both windows are flat only the
    means are compared; where both are black it is 1. (The package sewar confuses means with sums in this formula; its
    numbers differ.)
    """
    local = local_moments(image, reference)
    means = local.mean_x.square() + local.mean_y.square()
    variances = local.var_x + local.var_y
    brightness = torch.where(means > 0, 2 * local.mean_x * local.mean_y / means.clamp(min=1e-300), 1.0)
    structure = torch.where(variances > 0, 2 * local.covariance / variances.clamp(min=1e-300), 1.0)
    return (brightness * structure).mean()

"""Universal quality index (Wang and Bovik 2002)."""

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.metrics.images.psnr import Image
from trainables.metrics.images.windows import local_moments


def compute_uqi(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute 4 cov(x,y) mean(x) mean(y) / ((var(x) + var(y)) (mean(x)^2 + mean(y)^2)).

    The result is the mean over windows of 8x8 and channels. Where both windows are flat only the means are compared;
    where both are black it is 1. (The package sewar confuses means with sums in this formula; its numbers differ.)
    """
    local = local_moments(image, reference)
    means = local.mean_x.square() + local.mean_y.square()
    variances = local.var_x + local.var_y
    brightness = torch.where(means > 0, 2 * local.mean_x * local.mean_y / means.clamp(min=1e-300), 1.0)
    structure = torch.where(variances > 0, 2 * local.covariance / variances.clamp(min=1e-300), 1.0)
    return (brightness * structure).mean()

"""Spatial correlation coefficient (Zhou, Civco and Silander 1998): the agreement of edges."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trainables.metrics.images.psnr import Image
from trainables.metrics.images.windows import local_moments


def compute_scc(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute the correlation of the two images after a Laplacian, in windows of 8x8; mean over windows and channels.

    The Laplacian is 8 in the middle and -1 around it, taken where it fits; windows in which one of the images has no
    edges count as 0. (The package sewar also counts the image's mirrored borders; its numbers differ.)
    """
    local = local_moments(_laplacian(image), _laplacian(reference))
    spread = (local.var_x * local.var_y).sqrt()
    return torch.where(spread > 0, local.covariance / spread.clamp(min=1e-300), 0.0).mean()


def _laplacian(image: Tensor) -> Tensor:
    weight = torch.full((1, 1, 3, 3), -1.0, dtype=torch.float64, device=image.device)
    weight[..., 1, 1] = 8.0
    return functional.conv2d(image.double()[:, None], weight)[:, 0]

"""Spectral angle mapper (Kruse et al. 1993): the angle between colours, independent of their brightness."""

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.metrics.images.psnr import Image


def compute_sam(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute the angle between the colour vectors of each pixel, in radians, mean over the pixels.

    A black pixel has no direction: its angle is 0 to another black one and pi/2 to any other. (The package sewar takes
    the angle between whole channels instead; its numbers differ.)
    """
    x, y = image.double().flatten(1), reference.double().flatten(1)
    norms = x.norm(dim=0) * y.norm(dim=0)
    cosine = torch.where(norms > 0, (x * y).sum(dim=0) / norms.clamp(min=1e-300), 0.0).clamp(-1, 1)
    both_black = (x.norm(dim=0) == 0) & (y.norm(dim=0) == 0)
    return torch.where(both_black, 0.0, torch.arccos(cosine)).mean()

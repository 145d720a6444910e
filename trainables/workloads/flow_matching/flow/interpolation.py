"""Paths between two noises, along which the images change from one to the other."""

import torch
from jaxtyping import Float
from torch import Tensor

_PARALLEL = 1e-4
"""Noises at a smaller angle than this, in radians, are joined by a straight line."""


def interpolate_spherically(
    first: Float[Tensor, "channels height width"], last: Float[Tensor, "channels height width"], num_between: int
) -> Float[Tensor, "places channels height width"]:
    """Return both ends and `num_between` noises between them, at even angles (slerp, Shoemake 1985).

    Gaussian noise of many dimensions lies near a sphere. A straight line would leave it, and its middle is no noise
    that the flow knows (White 2016).
    """
    cosine = (first * last).sum() / (first.norm() * last.norm())
    angle = cosine.clamp(-1, 1).arccos()
    places = torch.linspace(0, 1, num_between + 2, dtype=first.dtype).view(-1, *[1] * first.ndim)
    if angle < _PARALLEL:
        return (1 - places) * first + places * last
    return (((1 - places) * angle).sin() * first + (places * angle).sin() * last) / angle.sin()

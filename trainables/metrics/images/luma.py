"""The luma of RGB images (ITU-R BT.601, studio range), on which super-resolution benchmarks are measured."""

from jaxtyping import Float, UInt8
from torch import Tensor

_WEIGHTS = (65.481, 128.553, 24.966)
"""Weights of red, green, blue in 0..1."""


def is_grey(image: UInt8[Tensor, "3 height width"]) -> bool:
    """Return whether red, green and blue are equal everywhere."""
    return bool((image == image[:1]).all())


def compute_grey(image: UInt8[Tensor, "3 height width"]) -> Float[Tensor, "1 height width"]:
    """Compute 0.299 R + 0.587 G + 0.114 B (BT.601, full range) in float64; of a grey image its own grey levels."""
    red, green, blue = image.double()
    return (green + 0.299 * (red - green) + 0.114 * (blue - green))[None]


def compute_luma(image: UInt8[Tensor, "3 height width"]) -> Float[Tensor, "1 height width"]:
    """Compute 16 + (65.481 R + 128.553 G + 24.966 B) / 255 in float64, from 16 to 235, not rounded."""
    red, green, blue = (weight * channel for weight, channel in zip(_WEIGHTS, image.double(), strict=True))
    return ((red + green + blue) / 255 + 16)[None]

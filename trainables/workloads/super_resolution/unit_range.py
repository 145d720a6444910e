"""Between grey levels, as images are stored, and the range 0..1 that networks work with."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_zero_one(image: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """0..255 -> 0..1, float32."""
    return image.float() / 255


def to_grey_levels(image: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """0..1 -> 0..255: clamped and rounded, not cut off after the point, which would cost up to one grey level."""
    return (image.float().clamp(0, 1) * 255).round().to(torch.uint8)

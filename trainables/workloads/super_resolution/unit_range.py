"""Conversion between stored grey levels and the range 0..1 of the networks."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_zero_one(image: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert 0..255 to 0..1, float32."""
    return image.float() / 255


def to_grey_levels(image: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Convert 0..1 to 0..255: clamped and rounded; truncation would cost up to one grey level."""
    return (image.float().clamp(0, 1) * 255).round().to(torch.uint8)

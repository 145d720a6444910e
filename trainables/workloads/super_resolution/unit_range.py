"""Conversion between stored levels and the range 0..1 of the networks."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor


def to_zero_one(image: Integer[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert 0..255 of uint8, or 0..65535 of uint16, to 0..1, float32."""
    return image.float() / torch.iinfo(image.dtype).max


def to_levels(image: Float[Tensor, "*shape"], dtype: torch.dtype) -> Integer[Tensor, "*shape"]:
    """Convert 0..1 to the levels of uint8 or uint16: clamped and rounded; truncation would cost up to one level."""
    return (image.float().clamp(0, 1) * torch.iinfo(dtype).max).round().to(dtype)

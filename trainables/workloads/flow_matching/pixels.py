"""Conversion between stored pixels (uint8) and the range [-1, 1] of the flow."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_minus_one_one(pixels: UInt8[Tensor, "*shape"] | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert 0..255 to [-1, 1], float32; floating-point pixels are in [-1, 1] already."""
    return pixels.float() / 127.5 - 1 if pixels.dtype == torch.uint8 else pixels


def to_uint8(images: Float[Tensor, "*shape"] | UInt8[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Convert [-1, 1] to 0..255: clamped, then rounded to the nearest, so that `to_minus_one_one` is undone exactly.

    Raises FloatingPointError for a value that is not finite, which a clamp would turn into a black or grey pixel.
    """
    if images.dtype == torch.uint8:
        return images
    if num_bad := int((~images.isfinite()).sum()):
        raise FloatingPointError(f"{num_bad} of {images.numel()} pixel values are not finite")
    return (images.float().clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)

"""Conversion between stored pixels (uint8) and the range [-1, 1] of the flow."""

import math

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


def dequantise(pixels: UInt8[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Convert 0..255 to [-1, 1] with uniform noise as wide as a grey level, centred on `to_minus_one_one`, float32.

    The log-density of the result plus that of `to_bits_per_dim` is on average at most the log-probability of the
    pixels, when the flow's density is summed over each grey level (Theis et al. 2016, section 3.1).
    """
    noise = torch.rand(pixels.shape, generator=generator)
    return (pixels.float() + noise - 0.5) / 127.5 - 1


def to_bits_per_dim(log_density: Float[Tensor, "*shape"], num_values: int) -> Float[Tensor, "*shape"]:
    """Convert the log-density of a dequantised image, in nats, to bits per value of the image.

    -log p / (D ln 2) + log2(127.5): a grey level is 1 / 127.5 wide in the range of the flow.
    """
    return -log_density / (num_values * math.log(2)) + math.log2(127.5)

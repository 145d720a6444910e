"""Peak signal-to-noise ratio of 8-bit images, in dB."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

PEAK = 255.0
MAX_PSNR_DB = 100.0
"""Value for equal images, whose ratio is infinite."""

Image = UInt8[Tensor, "channels height width"] | Float[Tensor, "channels height width"]


def compute_psnr(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute 10 log10(255^2 / MSE) with the mean over all channels and pixels together; grey levels 0..255."""
    return _to_db((image.double() - reference.double()).square().mean())


def compute_channel_psnr(image: Image, reference: Image) -> Float[Tensor, ""]:
    """Compute the mean over the channels of each channel's own PSNR, which is never below `compute_psnr`."""
    return _to_db((image.double() - reference.double()).square().mean(dim=(-2, -1))).mean()


def _to_db(mean_square_error: Tensor) -> Tensor:
    return (10 * torch.log10(PEAK**2 / mean_square_error)).clamp(max=MAX_PSNR_DB)

"""Scores of predicted frames against the ground truth, one number for each future frame."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from trainables.metrics.images.psnr import PEAK, compute_psnr
from trainables.metrics.images.ssim import WINDOW, compute_ssim

Frames = Float[Tensor, "time channels height width"]
"""Grey levels in 0..1."""


def score_names(height: int, width: int) -> tuple[str, ...]:
    """Return the names of the scores; without `ssim` for frames smaller than its window."""
    return ("mse", "mae", "psnr", "ssim") if min(height, width) >= WINDOW else ("mse", "mae", "psnr")


def score_frames(prediction: Frames, truth: Frames) -> Float64[Tensor, "scores time"]:
    """Compute the scores of each frame, in the order of `score_names`.

    They are the mean squared and absolute error over all channels and pixels, PSNR in dB, and SSIM. The mean PSNR is
    the mean of these values, never the PSNR of a mean error.
    """
    error = prediction.double() - truth.double()
    rows = [error.square().flatten(1).mean(1), error.abs().flatten(1).mean(1)]
    pairs = list(zip(prediction.double() * PEAK, truth.double() * PEAK, strict=True))
    rows.append(torch.stack([compute_psnr(*pair) for pair in pairs]))
    if "ssim" in score_names(*prediction.shape[-2:]):
        rows.append(torch.stack([compute_ssim(*pair) for pair in pairs]))
    return torch.stack(rows)

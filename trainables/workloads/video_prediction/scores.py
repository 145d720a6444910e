"""Scores of predicted frames against the ground truth, one number for each future frame."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from trainables.metrics.images.psnr import PEAK, compute_psnr
from trainables.metrics.images.ssim import WINDOW, compute_ssim

Frames = Float[Tensor, "time channels height width"]
"""Grey levels in 0..1."""


def score_names(height: int, width: int) -> tuple[str, ...]:
    """Return the names of the scores; without `ssim` for frames smaller than its window."""
    return ("mse", "mae", "psnr", "ssim") if min(height, width) >= WINDOW else ("mse", "mae", "psnr")


def score_frames(
    prediction: Frames, truth: Frames, perceptual: Mapping[str, nn.Module] | None = None
) -> Float64[Tensor, "scores time"]:
    """Compute the scores of each frame, in the order of `score_names`, those of the perceptual metrics behind them.

    They are the mean squared and absolute error over all channels and pixels, PSNR in dB, and SSIM. The mean PSNR is
    the mean of these values, never the PSNR of a mean error. Perceptual metrics get grey
    levels 0 to 255, of grey frames as three equal colours.

    Raises ValueError for frames that are too small for the network of a perceptual metric.
    """
    error = prediction.double() - truth.double()
    rows = [error.square().flatten(1).mean(1), error.abs().flatten(1).mean(1)]
    pairs = list(zip(prediction.double() * PEAK, truth.double() * PEAK, strict=True))
    rows.append(torch.stack([compute_psnr(*pair) for pair in pairs]))
    if "ssim" in score_names(*prediction.shape[-2:]):
        rows.append(torch.stack([compute_ssim(*pair) for pair in pairs]))
    for network in (perceptual or {}).values():
        shown = [[frame.round().expand(3, -1, -1) for frame in pair] for pair in pairs]
        rows.append(torch.stack([network(*pair).double() for pair in shown]))
    return torch.stack(rows)

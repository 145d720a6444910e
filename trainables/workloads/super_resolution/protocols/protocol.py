"""Published protocols: the border that is cut off, the colours of PSNR and SSIM, and how channels are combined."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from data_pipelines.super_resolution.bicubic import resize_bicubic
from trainables.metrics.images.luma import compute_grey, compute_luma, is_grey
from trainables.metrics.images.psnr import compute_channel_psnr, compute_psnr
from trainables.metrics.images.remote_sensing import compute_sam, compute_scc, compute_uqi
from trainables.metrics.images.ssim import compute_ssim

Image = UInt8[Tensor, "3 height width"]


@dataclass(frozen=True)
class Protocol:
    """Rules by which one image is compared with the ground truth."""

    extra_border: int
    """Pixels cut off at each side, besides one low-resolution pixel."""
    is_luma: bool
    """PSNR and SSIM are of the luma in studio range, of a grey ground truth of its grey levels; else of RGB."""
    joins_channels: bool
    """PSNR comes from one error over all channels; else it is the mean of the channels' own."""


PROTOCOLS: dict[str, Protocol] = {
    "uc_merced": Protocol(extra_border=0, is_luma=False, joins_channels=False),
    "y_channel": Protocol(extra_border=0, is_luma=True, joins_channels=True),
    "div2k": Protocol(extra_border=6, is_luma=False, joins_channels=True),
}
Comparison = Callable[[Image, Image], Tensor]
"""A metric of two images of equal size: one number."""
_COLOUR_METRICS: dict[str, Comparison] = {
    "scc": compute_scc,
    "sam": compute_sam,
    "uqi": compute_uqi,
}


def measure(
    image: Image,
    truth: Image,
    *,
    scale: int,
    protocol: str,
    metrics: Sequence[str],
    perceptual: Mapping[str, Comparison] | None = None,
) -> Float[Tensor, " metrics"]:
    """Compute the metrics in the given order, float64; all but psnr and ssim are of RGB in every protocol.

    A border of one low-resolution pixel is cut off, and more in some protocols of `PROTOCOLS`; `scale` is the factor of
    the enlarged image. `perceptual` has those of the metrics that are computed by networks.

    Raises:
        ValueError: Too little is left of the image after the border is cut off.
    """
    rules = PROTOCOLS[protocol]
    border = scale + rules.extra_border
    image, truth = (each[:, border:-border, border:-border] for each in (image, truth))
    if min(image.shape[-2:]) < 11:
        raise ValueError(
            f"an image of {truth.shape[-1] + 2 * border}x{truth.shape[-2] + 2 * border} pixels is too small to be "
            f"measured: without {border} at each side at least 11x11 must be left"
        )
    of_colours = {**_COLOUR_METRICS, **(perceptual or {})}
    return torch.stack(
        [
            of_colours[name](image, truth) if name in of_colours else _measure_one(name, image, truth, rules)
            for name in metrics
        ]
    )


def _measure_one(name: str, image: Image, truth: Image, rules: Protocol) -> Tensor:
    if rules.is_luma:
        luma = compute_grey if is_grey(truth) else compute_luma
        image, truth = luma(image), luma(truth)
    if name == "ssim":
        return compute_ssim(image, truth)
    return compute_psnr(image, truth) if rules.joins_channels else compute_channel_psnr(image, truth)


def enlarge_bicubic(
    image: UInt8[Tensor, "3 height width"], scale: int
) -> UInt8[Tensor, "3 scaled_height scaled_width"]:
    """Enlarge by MATLAB's bicubic; the result is on the image's device."""
    height, width = (side * scale for side in image.shape[-2:])
    enlarged = resize_bicubic(image.permute(1, 2, 0).cpu().numpy(), height, width)
    return torch.from_numpy(enlarged.transpose(2, 0, 1).copy()).to(image.device)

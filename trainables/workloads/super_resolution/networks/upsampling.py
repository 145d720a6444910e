"""Upsampling: sub-pixel convolutions, and the bicubic image that they are added to."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class SubPixelUpsampler(nn.Sequential):
    """Convolution to s^2 times the channels, then a pixel shuffle (Shi et al. 2016); x4 and x8 by steps of 2."""

    def __init__(self, scale: int, channels: int) -> None:
        steps = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]
        super().__init__(
            *(
                layer
                for step in steps
                for layer in (nn.Conv2d(channels, step**2 * channels, 3, padding=1), nn.PixelShuffle(step))
            )
        )


def upsample_bicubic(
    image: Float[Tensor, "batch channels height width"], scale: int
) -> Float[Tensor, "batch channels scaled_height scaled_width"]:
    """Enlarge by torch's bicubic (a = -0.75), as inside the published networks; baselines use MATLAB's instead."""
    size = (scale * image.shape[-2], scale * image.shape[-1])
    return functional.interpolate(image, size=size, mode="bicubic", align_corners=False)


def zero_gradient_dependency(module: nn.Module, output: Tensor) -> Tensor:
    """Return `output` with a gradient of zero for every parameter of `module`.

    A distributed step waits for the gradient of every parameter, also of a tail whose scale was not drawn. Where no
    gradient is wanted, nothing is added.
    """
    if not torch.is_grad_enabled():
        return output
    return output + 0.0 * sum(parameter.sum() for parameter in module.parameters())


def choose_scale(scale: int | None, scales: Sequence[int] | nn.ModuleDict) -> int:
    """Return `scale`, by default the first of the network. Raises ValueError when the network was not built for it."""
    known = [int(each) for each in scales]
    if scale is None:
        return known[0]
    if scale not in known:
        raise ValueError(f"this network was built for the scales {known}, not for {scale}")
    return scale

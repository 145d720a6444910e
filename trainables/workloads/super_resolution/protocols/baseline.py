"""The bicubic baseline of every result."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from data_pipelines.super_resolution.bicubic import resize_bicubic


def enlarge_bicubic(
    image: UInt8[Tensor, "3 height width"], scale: int
) -> UInt8[Tensor, "3 scaled_height scaled_width"]:
    """Enlarge by MATLAB's bicubic; the result is on the image's device."""
    height, width = (side * scale for side in image.shape[-2:])
    enlarged = resize_bicubic(image.permute(1, 2, 0).cpu().numpy(), height, width)
    return torch.from_numpy(enlarged.transpose(2, 0, 1).copy()).to(image.device)

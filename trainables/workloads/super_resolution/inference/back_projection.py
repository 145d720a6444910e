"""Back-projection (Irani and Peleg 1991): the downscaled result must equal the input."""

import torch
from jaxtyping import Float
from torch import Tensor

from data_pipelines.super_resolution.bicubic import resize_matrix

Image = Float[Tensor, "batch channels height width"]


def back_project(enlarged: Image, image: Image, iterations: int) -> Image:
    """Repeat enlarged += up(image - down(enlarged)), clipped to 0..1 each time; MATLAB's bicubic without rounding."""
    for _ in range(iterations):
        error = image - resize(enlarged, *image.shape[-2:])
        enlarged = (enlarged + resize(error, *enlarged.shape[-2:])).clamp(0, 1)
    return enlarged


def resize(image: Image, height: int, width: int) -> Image:
    """Resize float images by MATLAB's bicubic, on their device."""
    down, right = (
        torch.from_numpy(resize_matrix(before, after).toarray()).to(image)
        for before, after in zip(image.shape[-2:], (height, width), strict=True)
    )
    return down @ image @ right.T

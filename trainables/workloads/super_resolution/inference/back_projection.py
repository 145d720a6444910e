"""Back-projection (Irani and Peleg 1991): the result, made small again, must be the input."""

import torch
from jaxtyping import Float
from torch import Tensor

from data_pipelines.super_resolution.bicubic import resize_matrix

Image = Float[Tensor, "batch channels height width"]


def back_project(enlarged: Image, image: Image, iterations: int) -> Image:
    """enlarged += up(image - down(enlarged)), clipped to 0..1 each time; bicubic as MATLAB's, without rounding."""
    for _ in range(iterations):
        error = image - resize(enlarged, *image.shape[-2:])
        enlarged = (enlarged + resize(error, *enlarged.shape[-2:])).clamp(0, 1)
    return enlarged


def resize(image: Image, height: int, width: int) -> Image:
    """MATLAB's bicubic on float images, on their device."""
    down, right = (
        torch.from_numpy(resize_matrix(before, after).toarray()).to(image)
        for before, after in zip(image.shape[-2:], (height, width), strict=True)
    )
    return down @ image @ right.T

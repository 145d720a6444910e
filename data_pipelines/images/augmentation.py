"""Random augmentation of image batches, on the batch's device; all randomness comes from the draws."""

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from data_pipelines.contract.row_draws import TorchDraws

Images = UInt8[Tensor, "batch channels height width"]


def flip_half(images: Images, *, draws: TorchDraws) -> Images:
    """Flip each image left to right with probability 1/2."""
    is_flipped = draws.uniform() < 0.5
    return torch.where(is_flipped[:, None, None, None], images.flip(-1), images)


def crop_padded(images: Images, padding: int, *, draws: TorchDraws) -> Images:
    """Crop a random window of the image's own size from the image padded by zeros on every side.

    All (2 padding + 1)^2 positions are equally likely.
    """
    count, height, width = len(images), *images.shape[-2:]
    places = draws.integers(2 * padding + 1, 2).T
    padded = functional.pad(images, (padding,) * 4)
    rows = places[0][:, None] + torch.arange(height, device=images.device)
    columns = places[1][:, None] + torch.arange(width, device=images.device)
    index = torch.arange(count, device=images.device)
    return padded[index[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()

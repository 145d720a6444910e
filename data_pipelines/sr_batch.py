"""Images of different sizes as one batch, and the aligned training patches that are cut from them."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from jaxtyping import Int64, UInt8
    from torch import Tensor

PackedImages = dict[str, "Tensor"]
"""Whole images behind one another: `size`, int64 [batch, 2], height and width; `hr`, uint8, the pixels of all images
in the order row, column, channel; and for each scale `lr_x4` and so on, the same of size // scale.

A dict of flat tensors, because images of different sizes cannot be stacked."""
PatchBatch = dict[str, "Tensor"]
"""`lr`, uint8 [batch, 3, side, side], and `hr`, uint8 [batch, 3, scale * side, scale * side]."""

CHANNELS = 3


class Pair(NamedTuple):
    """One image at both resolutions."""

    lr: "UInt8[Tensor, 'channels height width']"
    hr: "UInt8[Tensor, 'channels scaled_height scaled_width']"


def unpack(batch: PackedImages, scale: int) -> list[Pair]:
    """The images one by one, at high resolution cut to a multiple of the scale."""
    lr_start, hr_start, pairs = 0, 0, []
    for height, width in batch["size"].tolist():
        low_height, low_width = height // scale, width // scale
        lr_stop, hr_stop = lr_start + low_height * low_width * CHANNELS, hr_start + height * width * CHANNELS
        lr = batch[f"lr_x{scale}"][lr_start:lr_stop].reshape(low_height, low_width, CHANNELS)
        hr = batch["hr"][hr_start:hr_stop].reshape(height, width, CHANNELS)
        pairs.append(Pair(lr.permute(2, 0, 1), hr[: low_height * scale, : low_width * scale].permute(2, 0, 1)))
        lr_start, hr_start = lr_stop, hr_stop
    return pairs


def cut_patches(
    batch: PackedImages, scale: int, side: int, *, is_augmented: bool, generator: "torch.Generator"
) -> PatchBatch:
    """One patch of each image at a random place, aligned at both resolutions.

    With `is_augmented` each is transposed, and mirrored along either axis, with probability 1/2 each: all eight
    dihedral states are equally likely. Where an image is smaller than the patch, its mirror image goes on.
    """
    import torch

    size = batch["size"]
    draws = torch.rand(len(size), 5, generator=generator, device=size.device)
    low = size // scale
    corner = (draws[:, :2] * ((low - side).clamp(min=0) + 1)).long()
    states = draws[:, 2:] < 0.5 if is_augmented else torch.zeros_like(draws[:, 2:], dtype=torch.bool)
    return {
        "lr": _gather(batch[f"lr_x{scale}"], low, low, corner, states, side),
        "hr": _gather(batch["hr"], size, low * scale, corner * scale, states, side * scale),
    }


def _gather(
    pixels: "Tensor", stored: "Tensor", used: "Tensor", corner: "Tensor", states: "Tensor", side: int
) -> "Tensor":
    """Patches [batch, 3, side, side] of packed images of size `stored`, of which the upper left `used` counts."""
    import torch

    steps = torch.arange(side, device=pixels.device)
    down = torch.where(states[:, :1], side - 1 - steps, steps) + corner[:, :1]
    right = torch.where(states[:, 1:2], side - 1 - steps, steps) + corner[:, 1:]
    down, right = _mirror(down, used[:, :1]), _mirror(right, used[:, 1:])
    numel = stored.prod(dim=1)
    start = (numel.cumsum(0) - numel)[:, None, None]
    places = down[:, :, None] * stored[:, 1][:, None, None] + right[:, None, :] + start
    places = torch.where(states[:, 2][:, None, None], places.transpose(1, 2), places)
    patches = pixels.view(-1, CHANNELS).index_select(0, places.flatten())
    return patches.view(*places.shape, CHANNELS).permute(0, 3, 1, 2).contiguous()


def _mirror(index: "Int64[Tensor, 'batch side']", length: "Int64[Tensor, 'batch 1']") -> "Int64[Tensor, 'batch side']":
    """Indices beyond the end run back again, the last one repeated."""
    folded = index % (2 * length)
    return folded.minimum(2 * length - 1 - folded)

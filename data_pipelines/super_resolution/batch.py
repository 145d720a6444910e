"""Batches of images of different sizes, and the aligned training patches cropped from them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from data_pipelines.contract.row_draws import NumpyDraws
from data_pipelines.prepared.byte_columns import values_of

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

PackedImages = dict[str, "Tensor"]
"""Concatenated complete images: `size`, int64 [batch, 2], height and width; `name`, uint8, the bytes of the names in
UTF-8, and `name_length`, int64 [batch]; `hr`, uint8, the pixels of all images in the order row, column, channel; and
for each scale `lr_x4` and so on, the same of size // scale.

A dict of flat tensors, because images of different sizes cannot be stacked."""
PatchBatch = dict[str, "Tensor"]
"""`lr`, uint8 [batch, 3, side, side], and `hr`, uint8 [batch, 3, scale * side, scale * side]."""

CHANNELS = 3


class ImagePair(NamedTuple):
    """One image at both resolutions."""

    lr: "UInt8[Tensor, 'channels height width']"
    hr: "UInt8[Tensor, 'channels scaled_height scaled_width']"


def unpack(batch: PackedImages, scale: int) -> list[ImagePair]:
    """Split a batch into images, at high resolution cut to a multiple of the scale."""
    lr_start, hr_start, pairs = 0, 0, []
    for height, width in batch["size"].tolist():
        low_height, low_width = height // scale, width // scale
        lr_stop, hr_stop = lr_start + low_height * low_width * CHANNELS, hr_start + height * width * CHANNELS
        lr = batch[f"lr_x{scale}"][lr_start:lr_stop].reshape(low_height, low_width, CHANNELS)
        hr = batch["hr"][hr_start:hr_stop].reshape(height, width, CHANNELS)
        pairs.append(ImagePair(lr.permute(2, 0, 1), hr[: low_height * scale, : low_width * scale].permute(2, 0, 1)))
        lr_start, hr_start = lr_stop, hr_stop
    return pairs


def unpack_names(batch: PackedImages) -> list[str]:
    """Return the name of each image."""
    parts = batch["name"].cpu().split(batch["name_length"].tolist())
    return [part.numpy().tobytes().decode() for part in parts]


class StoredPair(NamedTuple):
    """One image as it is stored, at high resolution cut to a multiple of the scale."""

    lr: "UInt8[np.ndarray, 'height width channels']"
    hr: "UInt8[np.ndarray, 'scaled_height scaled_width channels']"


def pairs_of(table: pa.Table, scale: int) -> list[StoredPair]:
    """Return the images of stored rows as views, without a copy."""
    pairs = []
    pixels = zip(values_of(table["hr"]), values_of(table[f"lr_x{scale}"]), strict=True)
    for height, width, (hr, lr) in zip(table["height"].to_pylist(), table["width"].to_pylist(), pixels, strict=True):
        low_height, low_width = height // scale, width // scale
        whole = hr.reshape(height, width, CHANNELS)
        used = whole[: low_height * scale, : low_width * scale]
        pairs.append(StoredPair(lr.reshape(low_height, low_width, CHANNELS), used))
    return pairs


def cut_patches(
    pairs: Sequence[StoredPair], scale: int, side: int, *, is_augmented: bool, draws: NumpyDraws
) -> PatchBatch:
    """Crop one patch of each image at a random position, aligned at both resolutions.

    Where an image is smaller than the patch, it is continued by its mirror image. `side` is that of the low-resolution
    patch in pixels. `is_augmented` mirrors each patch along either axis, and transposes it, with probability 1/2 each;
    all eight dihedral states are then equally likely.
    """
    import torch

    drawn = draws.uniform(5)
    states = (drawn[:, 2:] < 0.5) & is_augmented
    lr = np.empty((len(pairs), CHANNELS, side, side), np.uint8)
    hr = np.empty((len(pairs), CHANNELS, scale * side, scale * side), np.uint8)
    for row, (pair, state) in enumerate(zip(pairs, states.tolist(), strict=True)):
        height, width, _ = pair.lr.shape
        top, left = int(drawn[row, 0] * max(height - side + 1, 1)), int(drawn[row, 1] * max(width - side + 1, 1))
        lr[row] = _turn(_cut(pair.lr, top, left, side), state)
        hr[row] = _turn(_cut(pair.hr, scale * top, scale * left, scale * side), state)
    return {"lr": torch.from_numpy(lr), "hr": torch.from_numpy(hr)}


def _cut(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    patch = image[top : top + side, left : left + side]
    missing = [(0, side - extent) for extent in patch.shape[:2]]
    return np.pad(patch, [*missing, (0, 0)], mode="symmetric") if patch.shape[:2] != (side, side) else patch


def _turn(patch: np.ndarray, state: Sequence[bool]) -> np.ndarray:
    """Turn [height, width, channels] into a view, [channels, height, width], in the given dihedral state."""
    is_flipped, is_mirrored, is_transposed = state
    patch = patch[:: -1 if is_flipped else 1, :: -1 if is_mirrored else 1]
    return patch.transpose(2, 1, 0) if is_transposed else patch.transpose(2, 0, 1)

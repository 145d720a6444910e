"""Stored rows from image files: checked pixels at high resolution, and at low resolution for each scale."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.readers.bad_file import BadFileError, printable
from data_pipelines.readers.image_file import decode_image, is_16_bit_grey, to_plain
from data_pipelines.super_resolution.bicubic import downscale
from data_pipelines.super_resolution.image_lists import FilePair, ImageEntry

SSIM_WINDOW = 11
"""Side of the window of the structural similarity."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScaledImage:
    """One image; `lr[s]` belongs to `hr` cut at its right and lower edge to s times the size of `lr[s]`."""

    name: str
    hr: np.ndarray
    """uint8 [height, width, 3]."""
    lr: Mapping[int, np.ndarray]
    """uint8 [height // s, width // s, 3] for each scale s."""


def read_entry(entry: ImageEntry, scales: Sequence[int], *, smallest_lr: int = 1) -> ScaledImage:
    """Load an image, and make the low resolutions that are not given.

    Images with fewer than `smallest_lr` low-resolution pixels to a side cause a warning. Raises ValueError naming a
    file that cannot be read, is smaller than one low-resolution pixel, or does not fit its partner.
    """
    loaded = {path: load_rgb(path) for path in entry.files}
    highs = [path for path in loaded if path == entry.hr or any(path == pair.hr for pair in entry.pairs.values())]
    largest = max(highs, key=lambda path: loaded[path].size)
    hr, lr = loaded[largest], {}
    for scale in scales:
        if scale in entry.pairs:
            pair = entry.pairs[scale]
            _refuse_mismatch(pair, scale, loaded[pair.hr], loaded[pair.lr], largest=largest, hr=hr)
            lr[scale] = loaded[pair.lr]
        else:
            lr[scale] = downscale(cut_to_multiple(hr, scale, largest), scale)
    _warn_of_small(largest, hr, max(scales), smallest_lr)
    return ScaledImage(entry.name, hr, lr)


def refuse_unmeasurable(image: ScaledImage, path: Path) -> None:
    """Raise BadFileError for an image that no protocol can measure: 11 pixels must be left inside its border."""
    smallest = SSIM_WINDOW + 2 * max(image.lr)
    if min(image.hr.shape[:2]) < smallest:
        raise BadFileError(
            path,
            f"{_size(image.hr)} pixels are too few to be measured at scale {max(image.lr)}; validation and test images "
            f"need {smallest} to a side; remove the file",
        )


def cut_to_multiple(image: np.ndarray, scale: int, path: Path) -> np.ndarray:
    """Cut the lower and right rows and columns that do not fill a low-resolution pixel.

    Raises ValueError naming `path` when nothing is left.
    """
    height, width = (side // scale * scale for side in image.shape[:2])
    if not height or not width:
        raise BadFileError(path, f"{_size(image)} pixels are too few for scale {scale}; remove the file")
    return image[:height, :width]


def _refuse_mismatch(
    pair: FilePair, scale: int, own: np.ndarray, low: np.ndarray, *, largest: Path, hr: np.ndarray
) -> None:
    expected = own.shape[0] // scale, own.shape[1] // scale
    if low.shape[:2] != expected:
        raise BadFileError(
            pair.lr,
            f"is {_size(low)}, but {printable(pair.hr)} is {_size(own)} and asks for "
            f"{expected[1]}x{expected[0]} at scale {scale} (width x height)",
        )
    height, width = own.shape[:2]
    if pair.hr != largest and not np.array_equal(own, hr[:height, :width]):
        fault = f"shows other pixels than {printable(largest)}; all scales of one name must be one image"
        raise BadFileError(pair.hr, fault)


def _warn_of_small(path: Path, hr: np.ndarray, scale: int, smallest_lr: int) -> None:
    if min(hr.shape[:2]) < smallest_lr * scale:
        _log.warning(
            "%s: is %s, smaller than a training patch of %d; patches go on into its mirror image",
            path,
            _size(hr),
            smallest_lr * scale,
        )


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def load_rgb(path: Path) -> np.ndarray:
    """Read the first frame as uint8 [height, width, 3].

    Grey images get three equal channels, and 16 bits are reduced to 8, with a warning that names the file; palettes
    are resolved and transparency is laid on white. Raises BadFileError naming the file for anything else.
    """
    image = decode_image(path)
    if image.mode in ("1", "L", "LA") or is_16_bit_grey(image):
        _log.warning("%s: is grey; its grey level is used for all three colours", printable(path))
    return np.asarray(to_plain(image, path).convert("RGB"))

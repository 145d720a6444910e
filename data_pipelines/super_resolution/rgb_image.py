"""Reader of common image files to 8-bit RGB at their own size, with a warning when the file is no 8-bit RGB."""

import logging
from pathlib import Path

import numpy as np

from data_pipelines.readers.image_file import decode_image, is_16_bit_grey, to_plain

_log = logging.getLogger(__name__)


def load_rgb(path: Path) -> np.ndarray:
    """Read the first frame as uint8 [height, width, 3].

    Grey images get three equal channels, and 16 bits are reduced to 8, with a warning that names the file; palettes
    are resolved and transparency is laid on white. Raises ValueError naming the file for anything else.
    """
    image = decode_image(path)
    if is_16_bit_grey(image):
        _log.warning("%s: has 16-bit grey levels; they are scaled to 8 bits and used for all three colours", path)
    elif _is_16_bit_colour(path):
        _log.warning("%s: has 16 bits per colour; the upper 8 are used", path)
    elif image.mode in ("1", "L", "LA"):
        _log.warning("%s: is grey; its grey level is used for all three colours", path)
    return np.asarray(to_plain(image, path).convert("RGB"))


def _is_16_bit_colour(path: Path) -> bool:
    """Return whether a PNG has 16 bits per colour, which Pillow silently reduces to 8.

    Bytes 24 and 25 of the file are its bit depth and colour type.
    """
    with path.open("rb") as file:
        head = file.read(26)
    return head.startswith(b"\x89PNG") and head[24:26] in (b"\x10\x02", b"\x10\x06")

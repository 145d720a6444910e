"""Reader of common image files to 8-bit RGB at their own size, with a warning when the file is no 8-bit RGB."""

import logging
from pathlib import Path

import numpy as np

from data_pipelines.readers.bad_file import printable
from data_pipelines.readers.image_file import decode_image, is_16_bit_grey, to_plain

_log = logging.getLogger(__name__)


def load_rgb(path: Path) -> np.ndarray:
    """Read the first frame as uint8 [height, width, 3].

    Grey images get three equal channels, and 16 bits are reduced to 8, with a warning that names the file; palettes
    are resolved and transparency is laid on white. Raises BadFileError naming the file for anything else.
    """
    image = decode_image(path)
    if image.mode in ("1", "L", "LA") or is_16_bit_grey(image):
        _log.warning("%s: is grey; its grey level is used for all three colours", printable(path))
    return np.asarray(to_plain(image, path).convert("RGB"))

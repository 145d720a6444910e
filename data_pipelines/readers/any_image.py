"""Pictures in any of the forms that Python code holds them in, as one."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.readers.image_file import decode_image, to_plain


def to_picture(value: Any) -> Image.Image:
    """Return a picture as 8-bit grey or RGB.

    Args:
        value: A path; a PIL image; an array [height, width] or [height, width, channels]; or a tensor [channels,
            height, width]. Whole numbers are grey levels from 0 to 255, floating ones lie from 0 to 1.

    Raises:
        ValueError: Another type, shape or range; the message says what was given.
        BadFileError: A file that cannot be used.
    """
    if isinstance(value, str | Path):
        return to_plain(decode_image(Path(value)), Path(value))
    if isinstance(value, Image.Image):
        return to_plain(value, Path("picture"))
    is_tensor = hasattr(value, "detach")
    array = np.asarray(value.detach().cpu() if is_tensor else value)
    if is_tensor and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        expected = "[channels, height, width]" if is_tensor else "[height, width] or [height, width, channels]"
        raise ValueError(f"a picture of the shape {list(np.shape(value))}; expected {expected} with 1 or 3 channels")
    if np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ValueError("a floating picture needs values from 0 to 1")
        array = (array * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"a picture of {array.dtype}; expected uint8, or floating values from 0 to 1")
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)

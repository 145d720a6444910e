"""Small clips in the layouts that users have on disk, made by code."""

from pathlib import Path

import numpy as np
from PIL import Image


def save_frames(
    folder: Path, numbers: range, *, width: int = 20, height: int = 16, pattern: str = "{:05d}.png"
) -> None:
    """Grey frames whose level is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.full((height, width, 3), number, np.uint8)
        Image.fromarray(pixels).save(folder / pattern.format(number))

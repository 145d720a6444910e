"""Grids of pictures, and PNG files of them."""

import io

import numpy as np
from PIL import Image
from torch import Tensor

from trainables.contract.panels import ImagePanel

GAP = 2
BACKGROUND = 255


def draw_grid(panel: ImagePanel) -> np.ndarray:
    """Draw the pictures in rows of `columns`, as uint8 [height, width, 1 or 3], on white with gaps of 2 pixels."""
    tiles = [enlarge(to_array(image), panel.zoom) for image in panel.images]
    height, width, channels = tiles[0].shape
    columns = min(panel.columns, len(tiles))
    rows = -(-len(tiles) // columns)
    grid = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height + GAP) + GAP, (index % columns) * (width + GAP) + GAP
        grid[top : top + height, left : left + width] = tile
    return grid


def to_array(image: Tensor) -> np.ndarray:
    """Convert uint8 [channels, height, width] to [height, width, channels]."""
    return image.detach().cpu().permute(1, 2, 0).numpy()


def enlarge(array: np.ndarray, zoom: int) -> np.ndarray:
    """Repeat each pixel of uint8 [height, width, channels] `zoom` times along both sides."""
    return np.kron(array, np.ones((zoom, zoom, 1), np.uint8))


def encode_png(array: np.ndarray) -> bytes:
    """Encode uint8 [height, width, 1 or 3] as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array).save(stream, format="PNG")
    return stream.getvalue()

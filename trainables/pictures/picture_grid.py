"""Grids of pictures, and PNG files of them."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from trainables.contract.panels import ImagePanel

GAP = 2
BACKGROUND = 255
_TEXT_SIZE, _MARGIN, _HEAD = 14, 6, 18


def draw_grid(panel: ImagePanel) -> np.ndarray:
    """Draw the pictures in rows of `columns`, as uint8 [height, width, 1 or 3], on white with gaps of 2 pixels.

    Names of rows and columns stand in `margins` to the left and above.
    """
    tiles = [enlarge(to_array(image), panel.zoom) for image in panel.images]
    height, width, channels = tiles[0].shape
    columns = min(panel.columns, len(tiles))
    rows = -(-len(tiles) // columns)
    grid = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height + GAP) + GAP, (index % columns) * (width + GAP) + GAP
        grid[top : top + height, left : left + width] = tile
    return _add_names(grid, panel) if panel.row_names or panel.column_names else grid


class Margins(NamedTuple):
    """Pixels beside a grid that its names take."""

    left: int
    top: int


def margins(panel: ImagePanel) -> Margins:
    """Return the room of the names of rows and columns; 0 without names."""
    widths = [_font().getlength(name) for name in panel.row_names]
    return Margins(round(max(widths)) + 2 * _MARGIN if widths else 0, _HEAD if panel.column_names else 0)


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


def _add_names(grid: np.ndarray, panel: ImagePanel) -> np.ndarray:
    left, top = margins(panel)
    height, width = grid.shape[:2]
    canvas = Image.new("RGB", (left + width, top + height), "white")
    canvas.paste(Image.fromarray(np.repeat(grid, 3 // grid.shape[2], axis=2)), (left, top))
    pen = ImageDraw.Draw(canvas)
    tall, wide = (side * panel.zoom + GAP for side in panel.images.shape[-2:])
    for place, name in enumerate(panel.row_names):
        middle = top + GAP / 2 + (place + 0.5) * tall
        pen.text((left - _MARGIN, middle), name, fill="black", font=_font(), anchor="rm")
    for place, name in enumerate(panel.column_names):
        middle = left + GAP / 2 + (place + 0.5) * wide
        pen.text((middle, top - 1), name, fill="black", font=_font(), anchor="md")
    return np.array(canvas)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT_SIZE)

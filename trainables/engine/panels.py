"""Pictures and tables as files in the run's folder, one file per step, so that they can be leafed through."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from trainables.layout import PICTURES, step_name
from trainables.storage import Folder
from trainables.task import ImagePanel, Panel, TablePanel, VideoPanel

GAP = 2
BACKGROUND = 255


def save_panels(folder: Folder, panels: Sequence[Panel], *, step: int, epoch: int) -> list[str]:
    """Write panels; returns the names of their description files in the folder."""
    return [_save_panel(folder, panel, step, epoch) for panel in panels]


def _save_panel(folder: Folder, panel: Panel, step: int, epoch: int) -> str:
    stem = f"{PICTURES}/{panel.key}/{step_name(step)}"
    common = {"key": panel.key, "step": step, "epoch": epoch}
    if isinstance(panel, ImagePanel):
        folder.write(f"{stem}.png", encode_png(draw_grid(panel)))
        height, width = (side * panel.zoom for side in panel.images.shape[-2:])
        tiles = {"count": len(panel.images), "columns": panel.columns, "height": height, "width": width, "gap": GAP}
        description = {**common, "type": "images", "captions": list(panel.captions), "tiles": tiles}
    elif isinstance(panel, VideoPanel):
        folder.write(f"{stem}.gif", encode_gif(panel))
        description = {**common, "type": "video", "captions": list(panel.captions)}
    else:
        description = {
            **common,
            "type": "table",
            "columns": list(panel.columns),
            "rows": _save_cells(folder, panel, stem),
        }
    folder.write_json(f"{stem}.json", description)
    return f"{stem}.json"


def _save_cells(folder: Folder, panel: TablePanel, stem: str) -> list[list[object]]:
    rows: list[list[object]] = []
    for number, row in enumerate(panel.rows):
        cells: list[object] = []
        for column, cell in zip(panel.columns, row, strict=True):
            if isinstance(cell, Tensor):
                name = f"{stem}_{number:02d}_{column.lower()}.png"
                folder.write(name, encode_png(to_array(cell)))
                cells.append({"image": name})
            else:
                cells.append(cell)
        rows.append(cells)
    return rows


def encode_gif(panel: VideoPanel) -> bytes:
    """The clips side by side as an animation that repeats."""
    grids = [
        draw_grid(ImagePanel(panel.key, panel.clips[:, time], columns=panel.columns, zoom=panel.zoom))
        for time in range(panel.clips.shape[1])
    ]
    first, *others = [Image.fromarray(grid.squeeze(2) if grid.shape[2] == 1 else grid) for grid in grids]
    stream = io.BytesIO()
    duration_ms = round(1000 / panel.frames_per_s)
    first.save(stream, format="GIF", save_all=True, append_images=others, duration=duration_ms, loop=0)
    return stream.getvalue()


def draw_grid(panel: ImagePanel) -> np.ndarray:
    """The panel's pictures in rows of `columns`, as uint8 [height, width, 1 or 3], on white with gaps of 2 pixels."""
    tiles = [np.kron(to_array(image), np.ones((panel.zoom, panel.zoom, 1), np.uint8)) for image in panel.images]
    height, width, channels = tiles[0].shape
    columns = min(panel.columns, len(tiles))
    rows = -(-len(tiles) // columns)
    grid = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * (height + GAP) + GAP, (index % columns) * (width + GAP) + GAP
        grid[top : top + height, left : left + width] = tile
    return grid


def to_array(image: Tensor) -> np.ndarray:
    """uint8 [channels, height, width] -> [height, width, channels]."""
    return image.detach().cpu().permute(1, 2, 0).numpy()


def encode_png(array: np.ndarray) -> bytes:
    """uint8 [height, width, 1 or 3] as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array).save(stream, format="PNG")
    return stream.getvalue()

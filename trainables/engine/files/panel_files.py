"""Panel files: pictures and tables in the run's folder, one file per step, so that a viewer can step through them."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from data_pipelines.storage.folder import Folder
from trainables.contract.panels import ImagePanel, Panel, TablePanel, VideoPanel
from trainables.engine.files.animation import encode_gif, encode_mp4
from trainables.run_paths import PICTURES, step_name

GAP = 2
BACKGROUND = 255


def save_panels(folder: Folder, panels: Sequence[Panel], *, step: int, epoch: int) -> list[str]:
    """Write panels; returns the names of their description files in the folder."""
    return [_save_panel(folder, panel, step, epoch) for panel in panels]


def picture_of(folder: Folder, description: str) -> str:
    """Return the file to view for a description file: the picture it describes, or a table's description itself."""
    panel = folder.read_json(description)
    suffix = {"images": "png", "video": panel.get("form"), "table": "json"}[panel["type"]]
    return f"{description.removesuffix('.json')}.{suffix}"


def _save_panel(folder: Folder, panel: Panel, step: int, epoch: int) -> str:
    stem = f"{PICTURES}/{panel.key}/{step_name(step)}"
    common = {"key": panel.key, "step": step, "epoch": epoch}
    if isinstance(panel, ImagePanel):
        folder.write(f"{stem}.png", encode_png(draw_grid(panel)))
        height, width = (side * panel.zoom for side in panel.images.shape[-2:])
        tiles = {"count": len(panel.images), "columns": panel.columns, "height": height, "width": width, "gap": GAP}
        description = {**common, "type": "images", "captions": list(panel.captions), "tiles": tiles}
    elif isinstance(panel, VideoPanel):
        encode = encode_mp4 if panel.form == "mp4" else encode_gif
        folder.write(f"{stem}.{panel.form}", encode(draw_frames(panel), panel.frames_per_s))
        description = {**common, "type": "video", "form": panel.form, "captions": list(panel.captions)}
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


def draw_frames(panel: VideoPanel) -> list[np.ndarray]:
    """Draw the grid of all clips for each time step."""
    return [
        draw_grid(ImagePanel(panel.key, panel.clips[:, time], columns=panel.columns, zoom=panel.zoom))
        for time in range(panel.clips.shape[1])
    ]


def draw_grid(panel: ImagePanel) -> np.ndarray:
    """Draw the pictures in rows of `columns`, as uint8 [height, width, 1 or 3], on white with gaps of 2 pixels."""
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
    """Convert uint8 [channels, height, width] to [height, width, channels]."""
    return image.detach().cpu().permute(1, 2, 0).numpy()


def encode_png(array: np.ndarray) -> bytes:
    """Encode uint8 [height, width, 1 or 3] as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array).save(stream, format="PNG")
    return stream.getvalue()

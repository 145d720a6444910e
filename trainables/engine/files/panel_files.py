"""Panel files: pictures and tables in the run's folder, one file per step, so that a viewer can step through them."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from data_pipelines.storage.folder import Folder
from trainables.contract.panels import ImagePanel, Panel, TablePanel, VideoPanel
from trainables.pictures.animation import encode_gif, encode_mp4
from trainables.pictures.picture_grid import GAP, draw_grid, encode_png, margins, to_array
from trainables.run_paths import PICTURES, step_name


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
        if panel.row_names or panel.column_names:
            tiles |= margins(panel)._asdict()
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

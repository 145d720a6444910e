"""Conversion of the panels in a run's folder to wandb.Image, Video, Histogram and Table."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.storage.folder import Folder
from trainables.run_paths import PICTURES, step_of

Panel = dict[str, Any]


def read_media(folder: Folder, description: str) -> dict[str, Any]:
    """Return the W&B values of one panel by key. A table holds the rows of all steps up to its own.

    Raises OSError, KeyError or ValueError when the files are not what they should be.
    """
    panel = folder.read_json(description)
    match panel["type"]:
        case "images":
            return {panel["key"]: read_images(folder, description, panel)}
        case "table":
            return {panel["key"]: read_table(folder, panel)}
        case "video":
            return {panel["key"]: read_video(folder, description, panel)}
        case "histograms":
            return {key: read_histogram(histogram) for key, histogram in panel["histograms"].items()}
        case other:
            raise ValueError(f"{description}: {other!r} is no kind of panel")


def read_images(folder: Folder, description: str, panel: Panel) -> list[Any]:
    """Return one wandb.Image for each picture of the grid, in order."""
    import wandb

    grid = _open(folder, description.removesuffix(".json") + ".png")
    captions = panel["captions"] or [None] * panel["tiles"]["count"]
    tiles = zip(cut_grid(grid, panel["tiles"]), captions, strict=True)
    return [wandb.Image(tile, caption=caption) for tile, caption in tiles]


def cut_grid(grid: Image.Image, tiles: dict[str, int]) -> Iterator[Image.Image]:
    """Yield the pictures of which `trainables.engine.files.panel_files.draw_grid` made a grid."""
    columns, height, width, gap = (tiles[name] for name in ("columns", "height", "width", "gap"))
    columns = min(columns, tiles["count"])
    for index in range(tiles["count"]):
        top, left = (index // columns) * (height + gap) + gap, (index % columns) * (width + gap) + gap
        yield grid.crop((left, top, left + width, top + height))


def read_table(folder: Folder, panel: Panel) -> Any:
    """Return a wandb.Table of the rows of all steps up to the panel's."""
    import wandb

    names = folder.find(f"{PICTURES}/{panel['key']}", ".json")
    earlier = [folder.read_json(name) for name in names if step_of(name) <= panel["step"]]
    rows: list[Any] = [[_cell(folder, cell) for cell in row] for part in earlier for row in part["rows"]]
    return wandb.Table(columns=panel["columns"], data=rows)


def _cell(folder: Folder, cell: Any) -> Any:
    import wandb

    return wandb.Image(_open(folder, cell["image"])) if isinstance(cell, dict) else cell


def read_video(folder: Folder, description: str, panel: Panel) -> Any:
    """Return a wandb.Video of the animation beside the description."""
    import wandb

    form = panel["form"]
    content = io.BytesIO(folder.read(f"{description.removesuffix('.json')}.{form}"))
    return wandb.Video(content, caption="  ".join(panel["captions"]) or None, format=form)


def read_histogram(histogram: dict[str, list[float]]) -> Any:
    """Return a wandb.Histogram of counts and edges."""
    import wandb

    return wandb.Histogram(np_histogram=(np.array(histogram["counts"]), np.array(histogram["edges"])))


def _open(folder: Folder, name: str) -> Image.Image:
    image = Image.open(io.BytesIO(folder.read(name)))
    image.load()
    return image

"""Pictures of many samples: a grid with the names of the classes beside its rows, and strips."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from data_pipelines.storage.folder import Folder
from trainables.contract.panels import ImagePanel, zoom_of
from trainables.contract.prediction import Row
from trainables.pictures.picture_grid import draw_grid, encode_png
from trainables.workloads.flow_matching.sample_batches import WITHOUT_CLASS

COLUMNS = 10
MAX_ROWS = 100
"""Classes beyond are left out."""


def draw_sample_grid(rows: Sequence[Row], results: Folder) -> bytes:
    """Return a PNG of the first samples of each class, read from their files.

    Args:
        rows: A row for each sample, with `class`, `index` and `file`.
        results: Folder of the files.
    """
    files: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: int(row["index"] or 0)):
        files.setdefault(str(row["class"] or WITHOUT_CLASS), []).append(str(row["file"]))
    names = list(dict.fromkeys(str(row["class"] or WITHOUT_CLASS) for row in rows))[:MAX_ROWS]
    if names == [WITHOUT_CLASS]:
        return encode_png(_draw(_read(results, files[WITHOUT_CLASS][: COLUMNS**2]), COLUMNS))
    columns = min(COLUMNS, min(len(files[name]) for name in names))
    pictures = _read(results, [file for name in names for file in files[name][:columns]])
    return encode_png(_draw(pictures, columns, names))


def draw_strip(images: np.ndarray) -> bytes:
    """Return a PNG of pictures, uint8 [pictures, height, width, channels], side by side."""
    return encode_png(_draw(images, len(images)))


def _draw(images: np.ndarray, columns: int, names: Sequence[str] = ()) -> np.ndarray:
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    return draw_grid(ImagePanel("samples", tensor, columns=columns, zoom=zoom_of(tensor), row_names=names))


def _read(results: Folder, files: Sequence[str]) -> np.ndarray:
    arrays = [np.asarray(Image.open(io.BytesIO(results.read(file)))) for file in files]
    return np.stack([array.reshape(*array.shape[:2], -1) for array in arrays])

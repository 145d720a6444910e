"""Panels: pictures, tables and clips that a task or an evaluator passes to the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class ImagePanel:
    """A set of pictures shown as one grid."""

    key: str
    """Metric-style name, for example `eval/generated_samples`."""
    images: Tensor
    """uint8, [count, channels, height, width], channels 1 or 3."""
    captions: Sequence[str] = ()
    """One per picture, or none."""
    columns: int = 10
    """Pictures per row of the grid."""
    zoom: int = 1
    """Integer factor, nearest neighbour, for pictures too small to see."""
    row_names: Sequence[str] = ()
    """Written to the left of the rows of the grid, one for each, or none."""
    column_names: Sequence[str] = ()
    """Written above the columns of the grid, one for each, or none."""


@dataclass(frozen=True)
class TablePanel:
    """A table whose cells are numbers, strings, or pictures (uint8 tensors, [channels, height, width]).

    Rows drawn at later steps are added to those drawn before.
    """

    key: str
    columns: Sequence[str]
    rows: Sequence[Sequence[float | int | str | Tensor]]


@dataclass(frozen=True)
class VideoPanel:
    """A set of clips of equal length, played side by side."""

    key: str
    clips: Tensor
    """uint8, [count, time, channels, height, width], channels 1 or 3."""
    frames_per_s: float = 4.0
    captions: Sequence[str] = ()
    """One per clip, or none."""
    columns: int = 10
    """Clips per row of the grid."""
    zoom: int = 1
    """Integer factor, nearest neighbour."""
    form: Literal["gif", "mp4"] = "gif"
    """mp4 needs PyAV."""


Panel = ImagePanel | TablePanel | VideoPanel


def zoom_of(pictures: Tensor) -> int:
    """Return the integer factor that brings the longer side of small pictures near 64 pixels; 1 for large ones."""
    return max(1, 64 // max(pictures.shape[-2:]))

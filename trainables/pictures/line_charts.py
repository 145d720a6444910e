"""Small line charts as pictures, drawn by matplotlib."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 34, 52
"""Pixels beside the frame."""
DPI = 100
NUM_TICKS = 5
"""Of an axis that is as long as the picture is wide by default."""
INK, GRID, MARK = "#282828", "#e1e1e1", "#f0a064"
COLOURS = ("#1f5ab4", "#c85014", "#1e823c")


@dataclass(frozen=True)
class Curve:
    """A line: points joined in order."""

    label: str
    """In the legend; empty: none."""
    points: Sequence[tuple[float, float]]
    has_markers: bool = False
    colour: str | None = None
    """By default the next of a few colours."""


def draw_chart(
    title: str, x_label: str, y_label: str, lines: Sequence[Curve], *, width: int = WIDTH, marks: Sequence[float] = ()
) -> UInt8[Tensor, "3 height width"]:
    """Draw a chart of at least one point as an RGB picture, 400 pixels high, with axes that hold all points.

    A legend in the colours of the lines lies where it hides least. `width` is that of the picture, in pixels, and
    `marks` are places on the x-axis of thin lines behind the curves.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, HEIGHT / DPI), dpi=DPI)
    wide, high = width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    axes = figure.add_axes((LEFT / width, BOTTOM / HEIGHT, wide / width, high / HEIGHT))
    for place in marks:
        axes.axvline(place, color=MARK, linewidth=0.7, zorder=1)
    for number, line in enumerate(lines):
        xs, ys = zip(*line.points, strict=True)
        style: dict[str, Any] = {"color": line.colour or COLOURS[number % len(COLOURS)], "linewidth": 1.5}
        if line.has_markers or len(line.points) == 1:
            style |= {"marker": "o", "markersize": 6}
        axes.plot(xs, ys, label=line.label or "_", clip_on=False, zorder=2, **style)
    points = [point for line in lines for point in line.points]
    axes.set_xlim(_set_ticks(axes.xaxis, [x for x, _ in points], NUM_TICKS * width // WIDTH))
    axes.set_ylim(_set_ticks(axes.yaxis, [y for _, y in points], NUM_TICKS))
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(color=INK, labelcolor=INK, labelsize=9, length=3)
    axes.set_title(title, color=INK, fontsize=10)
    axes.set_xlabel(x_label, color=INK, fontsize=9)
    axes.set_ylabel(y_label, color=INK, fontsize=9)
    if any(line.label for line in lines):
        axes.legend(fontsize=9, labelcolor="linecolor", framealpha=0.7, edgecolor="none")
    return torch.from_numpy(pixels_of(figure)).permute(2, 0, 1)


def _set_ticks(axis: "Axis", values: Sequence[float], count: int) -> tuple[float, float]:
    """Set about so many ticks, at round numbers; returns the first and the last, which hold all values."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10])
    ticks = locator.tick_values(min(values), max(values))
    axis.set_ticks(ticks)
    axis.set_major_formatter(lambda value, _: f"{round(value, 12):g}")
    return ticks[0], ticks[-1]


def pixels_of(figure: "Figure") -> UInt8[np.ndarray, "height width 3"]:
    """Return the RGB picture of a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

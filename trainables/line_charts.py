"""Small line charts as pictures, drawn with Pillow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 54, 52
NUM_TICKS = 5
"""Of an axis that is as long as the picture is wide by default."""
LEGEND_WIDTH = 180
INK, GRID, MARK = (40, 40, 40), (225, 225, 225), (240, 160, 100)
COLOURS = ((31, 90, 180), (200, 80, 20), (30, 130, 60))


@dataclass(frozen=True)
class Curve:
    """A line: points joined in order."""

    label: str
    points: Sequence[tuple[float, float]]
    has_markers: bool = False
    colour: tuple[int, int, int] | None = None
    """By default the next of a few colours."""


def draw_chart(
    title: str, x_label: str, y_label: str, lines: Sequence[Curve], *, width: int = WIDTH, marks: Sequence[float] = ()
) -> UInt8[Tensor, "3 height width"]:
    """Draw a chart of at least one point, with axes that hold all points.

    Args:
        title: Above the chart.
        x_label: Below the x-axis.
        y_label: Above the y-axis.
        lines: The lines, labelled in their colours.
        width: Of the picture, in pixels.
        marks: Places on the x-axis of thin lines behind the curves.

    Returns:
        An RGB picture, 400 pixels high.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    num_ticks = NUM_TICKS * width // WIDTH
    canvas = _Canvas(_ticks(min(xs), max(xs), num_ticks), _ticks(min(ys), max(ys)), width)
    canvas.axes(title, x_label, y_label)
    canvas.marks(marks)
    for number, line in enumerate(lines):
        canvas.line(line, line.colour or COLOURS[number % len(COLOURS)], number)
    return torch.from_numpy(np.asarray(canvas.image).copy()).permute(2, 0, 1)


def _ticks(low: float, high: float, count: int = NUM_TICKS) -> list[float]:
    """Return at least two multiples of a round step that hold both ends; about as many as `count`."""
    step = _round_step((high - low or abs(high) * 1e-2 or 1.0) / (count - 1))
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _round_step(raw: float) -> float:
    power = 10 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))


class _Canvas:
    def __init__(self, x_ticks: list[float], y_ticks: list[float], width: int) -> None:
        self._width = width
        self.image = Image.new("RGB", (width, HEIGHT), (255, 255, 255))
        self._draw = ImageDraw.Draw(self.image)
        self._font = ImageFont.load_default(size=13)
        self._x_ticks, self._y_ticks = x_ticks, y_ticks

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point."""
        x_low, x_high, y_low, y_high = self._x_ticks[0], self._x_ticks[-1], self._y_ticks[0], self._y_ticks[-1]
        return (
            LEFT + (x - x_low) / (x_high - x_low) * (self._width - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM),
        )

    def axes(self, title: str, x_label: str, y_label: str) -> None:
        """Draw grid, tick labels, title and axis labels."""
        for tick in self._x_ticks:
            x, y = self.place(tick, self._y_ticks[0])
            self._draw.line([(x, TOP), (x, y)], GRID)
            self._draw.text((x, y + 5), f"{tick:g}", INK, self._font, anchor="ma")
        for tick in self._y_ticks:
            x, y = self.place(self._x_ticks[0], tick)
            self._draw.line([(x, y), (self._width - RIGHT, y)], GRID)
            self._draw.text((x - 6, y), f"{tick:g}", INK, self._font, anchor="rm")
        self._draw.rectangle([LEFT, TOP, self._width - RIGHT, HEIGHT - BOTTOM], outline=INK)
        self._draw.text((self._width / 2, 8), title, INK, self._font, anchor="ma")
        self._draw.text((self._width / 2, HEIGHT - 18), x_label, INK, self._font, anchor="mm")
        self._draw.text((8, 8), y_label, INK, self._font)

    def marks(self, places: Sequence[float]) -> None:
        """Draw vertical lines over the complete height."""
        for place in places:
            x, y = self.place(place, self._y_ticks[0])
            self._draw.line([(x, TOP), (x, y)], MARK)

    def line(self, line: Curve, colour: tuple[int, int, int], number: int) -> None:
        """Draw a line, and its label above the frame."""
        places = [self.place(*point) for point in line.points]
        self._draw.line(places, colour, width=2)
        for x, y in places if line.has_markers or len(places) == 1 else ():
            self._draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)
        self._draw.text((LEFT + LEGEND_WIDTH * number, 30), line.label, colour, self._font)

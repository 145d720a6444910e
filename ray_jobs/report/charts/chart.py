"""Content of a chart, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["line", "faint", "dashed"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Line through points, in their order."""

    name: str
    """Name in the legend."""
    label: str
    """Label at the line's end."""
    points: Sequence[Point]
    colour: str
    """A class of the style sheet: `c0` to `c7` distinguish lines, `r0` to `r7` are a scale from strong to weak."""
    kind: Kind = "line"


@dataclass(frozen=True)
class Chart:
    """Chart of lines over one axis."""

    title: str
    lines: Sequence[Line]
    x_label: str = "step"
    marks: Sequence[tuple[Point, str]] = field(default=())
    """Points with a ring around them, each with its label."""
    has_legend: bool = True
    is_log_x: bool = False

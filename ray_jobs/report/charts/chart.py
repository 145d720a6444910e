"""Content of a chart, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["line", "faint", "dashed"]
Point = tuple[float, float]


class ThinnedPoints(list[Point]):
    """Points of a line, of which only those are kept that its picture needs."""

    num_points = 0
    """Number of all points."""


def count_points(points: Sequence[Point]) -> int:
    """Return the number of points of a line, with those that were not kept."""
    return points.num_points if isinstance(points, ThinnedPoints) else len(points)


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

    @property
    def has_change(self) -> bool:
        """Whether any line has more than one value."""
        return any(len({y for _, y in line.points}) > 1 for line in self.lines)

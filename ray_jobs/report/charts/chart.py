"""Content of a chart, as plain data."""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

Kind = Literal["line", "faint", "dashed"]
Point = tuple[float, float]
MOST_POINTS = 16384


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


def thin(points: Sequence[Point], column_of: Callable[[float], int]) -> list[Point]:
    """Return at most four of the points in each column, with every spike; the points are in order of x."""
    kept: list[Point] = []
    for _, group in groupby(points, key=lambda point: column_of(point[0])):
        members = list(group)
        ends = (min(members, key=lambda point: point[1]), max(members, key=lambda point: point[1]))
        wanted = {id(point) for point in (members[0], *ends, members[-1])}
        kept += [point for point in members if id(point) in wanted]
    return kept


class Curve:
    """Line that is thinned while it is read, so that its memory does not grow with the number of steps.

    Up to `MOST_POINTS` all points are kept. Beyond that, of each column of steps the first, lowest, highest and last
    point; columns become twice as wide whenever there are too many, and are always far narrower than a pixel.
    """

    def __init__(self, kept_x: float | None = None):
        """Create an empty line; the point at `kept_x` is always kept."""
        self._points = ThinnedPoints()
        self._kept_x, self._kept, self._width = kept_x, None, 1

    def add(self, x: float, y: float) -> None:
        """Add a point; x does not fall."""
        self._points.num_points += 1
        self._points.append((x, y))
        if x == self._kept_x:
            self._kept = (x, y)
        if len(self._points) > MOST_POINTS:
            while len(thinned := thin(self._points, lambda x: int(x // self._width))) > MOST_POINTS // 2:
                self._width *= 2
            self._points[:] = thinned

    @property
    def points(self) -> ThinnedPoints:
        """Points so far, in order."""
        if self._kept is not None and self._kept not in self._points:
            insort(self._points, self._kept, key=lambda point: point[0])
        return self._points

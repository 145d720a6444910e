"""Downsampling of lines that keeps their look: of each column of pixels the first, lowest, highest and last point."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from ray_jobs.report.charts.chart import Point


def thin(points: Sequence[Point], column_of: Callable[[float], int]) -> list[Point]:
    """Return at most four of the points in each column, with every spike; the points are in order of x."""
    kept: list[Point] = []
    for _, group in groupby(points, key=lambda point: column_of(point[0])):
        members = list(group)
        ends = (min(members, key=lambda point: point[1]), max(members, key=lambda point: point[1]))
        wanted = {id(point) for point in (members[0], *ends, members[-1])}
        kept += [point for point in members if id(point) in wanted]
    return kept


def split_at_gaps(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield the stretches of finite values, which other values separate."""
    for is_finite, group in groupby(points, key=lambda point: math.isfinite(point[1])):
        if is_finite:
            yield list(group)

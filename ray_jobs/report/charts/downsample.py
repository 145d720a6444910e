"""Fewer points that look the same: of each column of pixels the first, the lowest, the highest and the last."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from ray_jobs.report.charts.chart import Point


def thin(points: Sequence[Point], column_of: Callable[[float], int]) -> list[Point]:
    """Points in order of x, of which at most four are left in each column, whatever spikes there are."""
    kept: list[Point] = []
    for _, group in groupby(points, key=lambda point: column_of(point[0])):
        members = list(group)
        ends = (min(members, key=lambda point: point[1]), max(members, key=lambda point: point[1]))
        wanted = {id(point) for point in (members[0], *ends, members[-1])}
        kept += [point for point in members if id(point) in wanted]
    return kept


def split_at_gaps(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Stretches of finite values; what is not finite parts them."""
    for is_finite, group in groupby(points, key=lambda point: math.isfinite(point[1])):
        if is_finite:
            yield list(group)

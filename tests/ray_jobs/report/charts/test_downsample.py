"""Thinned curves look like whole ones: no spike is lost."""

import random
from collections.abc import Sequence
from itertools import groupby

import pytest

from ray_jobs.report.charts.chart import MOST_POINTS, Curve, Point, count_points, thin


@pytest.mark.parametrize("count", [1, 2, 7, 5000])
def test_each_column_keeps_its_first_last_lowest_and_highest(count):
    draw = random.Random(count)
    points = [(float(x), draw.gauss(0, 1) + (1000 if x == count // 2 else 0)) for x in range(count)]

    def column_of(x: float) -> int:
        return int(x * 50 / count)

    kept = thin(points, column_of)
    expected = []
    for column in range(50):
        members = [point for point in points if column_of(point[0]) == column]
        wanted = set()
        for index, (_, y) in enumerate(members):
            is_end = index in (0, len(members) - 1)
            if is_end or all(y <= other for _, other in members) or all(y >= other for _, other in members):
                wanted.add(index)
        expected += [members[index] for index in sorted(wanted)]
    assert kept == expected
    assert max(y for _, y in kept) == max(y for _, y in points)


@pytest.mark.parametrize("count", [10, MOST_POINTS, 3 * MOST_POINTS, 9 * MOST_POINTS])
def test_a_long_curve_is_drawn_as_if_all_points_were_kept(count):
    draw = random.Random(count)
    points = [(float(x), draw.gauss(0, 1)) for x in range(1, count + 1)]
    best = points[count // 3]
    curve = Curve(best[0])
    for x, y in points:
        curve.add(x, y)
    assert count_points(curve.points) == count and len(curve.points) <= MOST_POINTS + 1
    assert best in curve.points and curve.points[-1] == points[-1]
    if count <= MOST_POINTS:
        assert curve.points == points

    def column_of(x: float) -> int:
        return int((x - 1) * 400 / count)

    def heights(line: Sequence[Point]) -> list[tuple[float, float]]:
        columns = [[y for _, y in members] for _, members in groupby(line, key=lambda point: column_of(point[0]))]
        return [(min(column), max(column)) for column in columns]

    drawn = heights(curve.points)
    for column, (low, high) in enumerate(heights(points)):
        near = drawn[max(column - 1, 0) : column + 2]
        assert min(low for low, _ in near) <= low and max(high for _, high in near) >= high
    assert set(curve.points) <= set(points)

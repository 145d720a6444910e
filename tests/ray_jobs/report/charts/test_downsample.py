"""Thinned curves look like whole ones: no spike is lost."""

import math
import random

import pytest

from ray_jobs.report.charts.downsample import split_at_gaps, thin


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


def test_what_is_not_finite_parts_a_line():
    points = [(1.0, 1.0), (2.0, 2.0), (3.0, math.nan), (4.0, math.inf), (5.0, 5.0)]
    assert list(split_at_gaps(points)) == [[(1.0, 1.0), (2.0, 2.0)], [(5.0, 5.0)]]
    assert list(split_at_gaps([])) == []

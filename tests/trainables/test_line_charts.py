"""Charts: every point where its numbers say, axes that hold all points."""

import math
from itertools import pairwise

import pytest

from trainables.line_charts import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    MARK,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    _ticks,
    draw_chart,
)


def colour_at(chart, x: float, y: float) -> tuple[int, ...]:
    return tuple(chart[:, round(y), round(x)].tolist())


def test_points_are_drawn_at_their_coordinates():
    line = Curve("one", [(0.0, 0.0), (10.0, 100.0)], has_markers=True)
    other = Curve("two", [(10.0, 0.0)])
    chart = draw_chart("title", "x", "y", [line, other])
    assert chart.shape == (3, HEIGHT, WIDTH)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    assert colour_at(chart, LEFT + 1, bottom - 1) == COLOURS[0]
    assert colour_at(chart, right - 1, TOP + 1) == COLOURS[0]
    assert colour_at(chart, right - 1, bottom - 1) == COLOURS[1]
    assert colour_at(chart, (LEFT + right) / 2, (TOP + bottom) / 2) == COLOURS[0]
    assert colour_at(chart, LEFT + 100, TOP + 30) == (255, 255, 255)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (98.59, 99.15), (1.9e6, 2.5e6), (5.0, 5.0), (-3.0, 0.001), (0, 0)]
)
def test_axes_hold_all_points_on_round_numbers(low, high):
    ticks = _ticks(low, high)
    assert ticks[0] <= low and high <= ticks[-1] and 2 <= len(ticks) <= 7
    steps = [after - before for before, after in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    digits = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(digits - round_number) for round_number in (1, 2, 2.5, 5)) < 1e-6


def test_a_single_point_is_drawn():
    assert (draw_chart("t", "x", "y", [Curve("one", [(2.0, 50.0)])]) == COLOURS[0][2]).any()


def test_a_wider_chart_has_more_ticks_and_marks_where_told():
    line = Curve("one", [(0.0, 0.0), (10.0, 0.0)])
    chart = draw_chart("t", "x", "y", [line], width=2 * WIDTH, marks=[5.0])
    assert chart.shape == (3, HEIGHT, 2 * WIDTH)
    right = 2 * WIDTH - RIGHT
    assert colour_at(chart, (LEFT + right) / 2, TOP + 20) == MARK
    assert colour_at(chart, (LEFT + right) / 2 + 10, TOP + 20) == (255, 255, 255)
    assert len(_ticks(0.0, 10.3, 10)) > len(_ticks(0.0, 10.3)) and _ticks(0.0, 10.3, 10)[-1] == 12

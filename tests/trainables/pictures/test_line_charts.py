"""Charts: every point where its numbers say, inside a frame whose ends are round numbers."""

import pytest
from torch import Tensor

from trainables.pictures.line_charts import BOTTOM, COLOURS, HEIGHT, LEFT, MARK, RIGHT, TOP, WIDTH, Curve, draw_chart

FRAME_RIGHT, FRAME_BOTTOM = WIDTH - RIGHT, HEIGHT - BOTTOM


def has_colour(chart: Tensor, colour: str, x: float, y: float) -> bool:
    """Whether a pixel next to a place has a colour, up to what smooth edges change."""
    wanted = chart.new_tensor([int(colour[first : first + 2], 16) for first in (1, 3, 5)]).view(3, 1, 1)
    near = chart[:, max(round(y) - 2, 0) : round(y) + 3, max(round(x) - 2, 0) : round(x) + 3]
    return bool(((near.float() - wanted.float()).abs().amax(0) < 12).any())


def test_points_are_drawn_at_their_coordinates():
    line = Curve("one", [(0.0, 0.0), (10.0, 100.0)], has_markers=True)
    other = Curve("two", [(10.0, 0.0)])
    chart = draw_chart("title", "x", "y", [line, other])
    assert chart.shape == (3, HEIGHT, WIDTH)
    assert has_colour(chart, COLOURS[0], LEFT, FRAME_BOTTOM)
    assert has_colour(chart, COLOURS[0], FRAME_RIGHT, TOP)
    assert has_colour(chart, COLOURS[1], FRAME_RIGHT, FRAME_BOTTOM)
    assert has_colour(chart, COLOURS[0], (LEFT + FRAME_RIGHT) / 2, (TOP + FRAME_BOTTOM) / 2)
    assert not has_colour(chart, COLOURS[0], LEFT + 300, TOP + 30)


@pytest.mark.parametrize(
    ("low", "high", "share"),
    [(0.5, 9.2, 0.92), (98.5, 99.2, 1.0), (-3.0, 0.001, 0.75), (5.0, 5.0, None), (0, 0, None)],
)
def test_axes_hold_all_points_on_round_numbers(low, high, share):
    """`share`: of the frame's height at which the highest point lies, between the round numbers around all."""
    chart = draw_chart("t", "x", "y", [Curve("", [(0.0, low), (10.0, high)])])
    lies_at = [y for y in range(TOP, FRAME_BOTTOM + 1) if has_colour(chart, COLOURS[0], FRAME_RIGHT - 1, y)]
    assert lies_at
    if share is not None:
        expected = FRAME_BOTTOM - share * (FRAME_BOTTOM - TOP)
        assert min(lies_at) - 3 <= expected <= max(lies_at) + 3


def test_a_single_point_is_drawn():
    chart = draw_chart("t", "x", "y", [Curve("", [(2.0, 50.0)])])
    places = [(x, y) for x in range(LEFT, FRAME_RIGHT, 4) for y in range(TOP, FRAME_BOTTOM, 4)]
    assert any(has_colour(chart, COLOURS[0], *place) for place in places)


def test_a_wider_chart_has_marks_where_told():
    line = Curve("one", [(0.0, 0.0), (10.0, 0.0)])
    chart = draw_chart("t", "x", "y", [line], width=2 * WIDTH, marks=[5.0])
    assert chart.shape == (3, HEIGHT, 2 * WIDTH)
    middle = (LEFT + 2 * WIDTH - RIGHT) / 2
    row = chart[:, TOP + 20].float()
    orange = row[0] - row[2]  # of the thin mark, whose edges are smooth
    assert abs(int(orange.argmax()) - middle) <= 1.5 and MARK.startswith("#f0")
    assert orange[round(middle) + 10] == 0

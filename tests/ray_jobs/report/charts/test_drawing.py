"""Charts as matplotlib draws them: every spike, gaps, scales, labels apart, the same bytes each time."""

import itertools

import numpy as np
import pytest

from ray_jobs.report.charts.chart import Chart, Line
from ray_jobs.report.charts.drawing import COLOURS, LABEL_GAP, build_figure, can_be_log, draw, opens_log, spread


def line(*values: float, name: str = "a", colour: str = "c0") -> Line:
    return Line(name, name, list(enumerate(values, start=1)), colour)


def test_a_figure_holds_every_line_in_its_colour():
    [axes] = build_figure(Chart("t", [line(1, 2, 3), line(3, 1, name="b", colour="r3")])).axes
    drawn = {drawn.get_color(): np.asarray(drawn.get_ydata()).tolist() for drawn in axes.lines}
    assert drawn == {COLOURS["c0"]: [1, 2, 3], COLOURS["r3"]: [3, 1]}
    assert axes.get_xlabel() == "step" and {text.get_text() for text in axes.texts} == {"a", "b"}


def test_a_spike_among_many_points_reaches_its_height_on_the_page():
    values = [1000.0 if step == 7777 else float(step % 2) for step in range(20_000)]
    flat = draw(Chart("t", [line(*(float(step % 2) for step in range(20_000)))]), "svg")
    spiked = draw(Chart("t", [line(*values)]), "svg")
    assert b"1000" in spiked and b"1000" not in flat.partition(b"<defs>")[2].replace(b"10000", b"")
    assert len(spiked) < 300_000


def test_the_same_chart_gives_the_same_bytes():
    chart = Chart("t", [line(1, 2, float("nan"), 4)], marks=[((2, 2), "best")])
    for form in ("svg", "pdf"):
        assert draw(chart, form) == draw(chart, form)
    assert b"best 2" in draw(chart, "svg") and draw(chart, "pdf").startswith(b"%PDF")


def test_scales_are_logarithmic_where_a_linear_one_hides():
    steep, even = Chart("t", [line(1000, 1, 1, 1)]), Chart("t", [line(1, 5, 10)])
    assert can_be_log(steep) and opens_log(steep) and can_be_log(even) and not opens_log(even)
    assert not can_be_log(Chart("t", [line(0, 100)]))
    assert build_figure(steep, is_log=True).axes[0].get_yscale() == "log"
    over = Chart("t", [line(1, 2)], is_log_x=True)
    assert build_figure(over).axes[0].get_xscale() == "log"


@pytest.mark.parametrize("places", [[0.5, 0.5, 0.5], [0.0, 0.01, 0.99, 1.0], [1.0, 1.0]])
def test_labels_keep_their_distance_inside_the_axes(places):
    moved = list(spread(places))
    assert all(later - earlier >= LABEL_GAP - 1e-9 for earlier, later in itertools.pairwise(moved))
    assert min(moved) >= -1e-9 and max(moved) <= 1 + 1e-9

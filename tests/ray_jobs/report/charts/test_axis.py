"""Axes: round numbers, inside, neither few nor many; and places that agree with the scale."""

import math
import random
from itertools import pairwise

import pytest

from ray_jobs.report.charts.axis import build_axis, linear_ticks, log_ticks
from ray_jobs.report.format_numbers import number, short


@pytest.mark.parametrize("seed", range(20))
def test_ticks_are_round_inside_and_evenly_apart(seed):
    draw = random.Random(seed)
    low = draw.choice([-1, 0, 1]) * 10 ** draw.uniform(-6, 6)
    high = low + 10 ** draw.uniform(-3, 6)
    ticks, slack = linear_ticks(low, high), 1e-8 * (high - low)
    steps = [later - earlier for earlier, later in pairwise(ticks)]
    assert 2 <= len(ticks) <= 11 and low - slack <= ticks[0] and ticks[-1] <= high + slack
    assert all(step == pytest.approx(steps[0], rel=1e-6) for step in steps)
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-6)
    assert any(mantissa == pytest.approx(whole, rel=1e-5) for whole in (1, 2, 5))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.05, 2000, [0.1, 1, 10, 100, 1000]),
        (0.3, 4, [0.5, 1, 2]),
        (1e-12, 1e3, [1e-12, 1e-9, 1e-6, 1e-3, 1, 1e3]),
        (2.1, 2.9, linear_ticks(2.1, 2.9)),
    ],
)
def test_logarithmic_ticks_are_powers_or_their_doubles(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_a_value_stands_where_its_share_of_the_scale_is():
    line = build_axis(0.0, 10.0, 100.0, 200.0, pad=0.0)
    assert (line.place(0.0), line.place(2.5), line.place(10.0)) == (100.0, 125.0, 200.0)
    log = build_axis(1.0, 100.0, 200.0, 100.0, is_log=True, pad=0.0)
    assert log.place(10.0) == pytest.approx(150.0)


def test_one_value_alone_has_an_axis_around_it():
    for value in (0.0, 3.0, -2.0):
        axis = build_axis(value, value, 0.0, 100.0)
        assert axis.low < value < axis.high and axis.ticks
    assert build_axis(3.0, 3.0, 0.0, 100.0, is_log=True).place(3.0) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (600.0, "600"), (9999.0, "9999"), (20000.0, "20k"), (1.5e6, "1.5M"), (0.02, "0.02"), (2e-5, "2e-5")],
)
def test_an_axis_has_short_words(value, words):
    assert short(value) == words


def test_numbers_have_four_digits_and_whole_ones_all_of_theirs():
    assert [number(value) for value in (None, 1618048.0, 14512.3, 0.123456, 3, float("nan"))] == [
        "",
        "1,618,048",
        "14,512",
        "0.1235",
        "3",
        "nan",
    ]

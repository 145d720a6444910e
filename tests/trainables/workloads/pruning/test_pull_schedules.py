"""lambda over a round: the published values, the ceiling, and the hold at the end."""

import math
from itertools import pairwise

import pytest

from trainables.workloads.pruning.config import Regularisation
from trainables.workloads.pruning.pull_schedules import compute_lambda, compute_progress

SCHEDULES = ("x", "x^2", "x^3", "exp", "exp_custom", "exp_custom_exponents")
QUARTERS = (0.25, 0.5, 0.75, 1.0)


def values(g: float = 1.0, **settings: object) -> list[float]:
    regularisation = Regularisation(reg_granularity_prune=g, **settings)  # pyright: ignore
    return [compute_lambda(u, regularisation) for u in QUARTERS]


@pytest.mark.parametrize(
    ("power", "expected"),
    [(2, (0.038, 0.165, 0.439, 1)), (3, (0.009, 0.077, 0.305, 1)), (4, (0.002, 0.038, 0.217, 1))],
)
def test_the_exponents_give_the_published_curve(power, expected):
    assert values(exponents=power) == pytest.approx(expected, abs=6e-4)


def test_the_other_schedules_by_their_formulas():
    assert values(schedule="x") == pytest.approx([0.25, 0.5, 0.75, 1])
    assert values(schedule="x^2") == pytest.approx([0.0625, 0.25, 0.5625, 1])
    assert values(schedule="x^3") == pytest.approx([0.015625, 0.125, 0.421875, 1])
    assert values(schedule="exp") == pytest.approx([math.e**-0.75, math.e**-0.5, math.e**-0.25, 1])
    assert values(schedule="exp_custom") == pytest.approx([(math.e**u - 1) / (math.e - 1) for u in QUARTERS])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("g", [0.5, 3.0])
def test_every_schedule_grows_to_its_ceiling_and_holds_it(schedule, g):
    settings = Regularisation(schedule=schedule, reg_granularity_prune=g, hold_ratio=0.2)
    curve = [compute_lambda(compute_progress(update, 100, settings), settings) for update in range(100)]
    assert all(before < after for before, after in pairwise(curve[:80]))
    assert curve[79:] == pytest.approx([g] * 21) and 0 < curve[0] < g


def test_progress_counts_the_current_step_and_moves_by_interval():
    plain = Regularisation(hold_ratio=0.0)
    assert [compute_progress(update, 4, plain) for update in range(4)] == [0.25, 0.5, 0.75, 1.0]
    stepped = Regularisation(hold_ratio=0.0, update_interval=2)
    assert [compute_progress(update, 4, stepped) for update in range(4)] == [0.5, 0.5, 1.0, 1.0]
    assert compute_progress(0, 1, Regularisation(hold_ratio=0.9)) == 1.0

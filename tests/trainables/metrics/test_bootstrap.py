"""Bootstrap intervals against those of SciPy, and by hand where units have several rows."""

import numpy as np
import pytest
from scipy import stats

from trainables.metrics.bootstrap import bootstrap


def test_the_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(0).normal(3, 2, 60)
    low, high = bootstrap(np.arange(60), lambda rows: {"mean": float(values[rows].mean())}, num_draws=4000)["mean"]
    expected = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert (low, high) == (pytest.approx(expected.low, abs=0.05), pytest.approx(expected.high, abs=0.05))


def test_all_rows_of_a_unit_are_drawn_together():
    units = np.array([7, 7, 7, 2])
    seen = []
    bootstrap(units, lambda rows: seen.append(sorted(rows.tolist())) or {}, num_draws=50)
    assert {tuple(rows) for rows in seen} == {(0, 0, 1, 1, 2, 2), (0, 1, 2, 3), (3, 3)}


def test_the_same_seed_gives_the_same_interval():
    values = np.arange(10.0)
    first, again, other = (
        bootstrap(np.arange(10), lambda rows: {"mean": float(values[rows].mean())}, seed=seed, num_draws=100)
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_score_that_is_often_undefined_has_no_interval():
    units = np.arange(3)
    found = bootstrap(units, lambda rows: {"always": 1.0} | ({"rarely": 1.0} if 0 not in rows else {}), num_draws=200)
    assert found == {"always": (1.0, 1.0)}
    assert bootstrap(np.array([]), lambda rows: {"never": 1.0}) == {}

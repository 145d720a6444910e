"""Calibration against scikit-learn and loops."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from trainables.metrics.calibration import brier_score, calibration_bins, expected_calibration_error

DRAWS = np.random.default_rng(0)
PROBABILITY = DRAWS.uniform(size=200)
IS_EVENT = DRAWS.uniform(size=200) < PROBABILITY**2


def test_the_bins_are_scikit_learns():
    shares, means = calibration_curve(IS_EVENT, PROBABILITY, n_bins=10)
    found = calibration_bins(PROBABILITY, IS_EVENT)
    assert [each.share for each in found] == pytest.approx(shares)
    assert [each.mean_probability for each in found] == pytest.approx(means)
    assert sum(each.count for each in found) == 200


def test_the_error_is_the_weighted_distance():
    total = 0.0
    for low in np.arange(10) / 10:
        rows = [n for n in range(200) if low <= PROBABILITY[n] < low + 0.1]
        total += abs(sum(PROBABILITY[n] for n in rows) - sum(IS_EVENT[n] for n in rows))
    assert expected_calibration_error(PROBABILITY, IS_EVENT) == pytest.approx(total / 200)
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert expected_calibration_error(np.zeros(0), np.zeros(0, bool)) is None


def test_the_brier_score_is_scikit_learns():
    two = np.stack([1 - PROBABILITY, PROBABILITY], axis=1)
    assert brier_score(two, IS_EVENT.astype(int)) == pytest.approx(brier_score_loss(IS_EVENT, PROBABILITY))
    three, labels = DRAWS.dirichlet(np.ones(3), 50), DRAWS.integers(0, 3, 50)
    naive = [sum((three[n][c] - (labels[n] == c)) ** 2 for c in range(3)) for n in range(50)]
    assert brier_score(three, labels) == pytest.approx(np.mean(naive))
    assert brier_score(np.zeros((0, 2)), np.zeros(0, int)) is None

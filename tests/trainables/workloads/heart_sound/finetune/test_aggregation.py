"""Poolings of rows that share a key, against loops."""

import numpy as np
import pytest

from trainables.workloads.heart_sound.finetune.aggregation import Answers, pool, softmax
from trainables.workloads.heart_sound.finetune.config import Pooling

KEYS = np.array([4, 1, 4, 1, 4, 9])
LOGITS = np.random.default_rng(0).normal(size=(6, 3)) * 2


def pool_naively(rows: list[list[float]], how: str, positive: int) -> list[float]:
    """The probabilities of one group, of those of its rows."""
    num_classes = len(rows[0])
    means = [sum(row[label] for row in rows) / len(rows) for label in range(num_classes)]
    if how == "probabilities":
        return means
    if how == "most_positive":
        return max(rows, key=lambda row: row[positive])
    product = 1.0
    for row in rows:
        product *= 1 - row[positive]
    rest = 1 - means[positive]
    return [1 - product if label == positive else product * means[label] / rest for label in range(num_classes)]


@pytest.mark.parametrize("positive", [0, 2])
@pytest.mark.parametrize("how", ["probabilities", "noisy_or", "most_positive"])
def test_each_pooling_is_that_of_its_formula(how, positive):
    keys, logits = pool(LOGITS, KEYS, how, positive)
    assert keys.tolist() == [1, 4, 9]
    for row, key in enumerate(keys):
        expected = pool_naively(softmax(LOGITS)[key == KEYS].tolist(), how, positive)
        assert softmax(logits)[row] == pytest.approx(expected) and sum(expected) == pytest.approx(1)


def test_logits_are_pooled_by_their_mean():
    _, logits = pool(LOGITS, KEYS, "logits", 0)
    assert logits[1] == pytest.approx((LOGITS[0] + LOGITS[2] + LOGITS[4]) / 3)


def test_noisy_or_of_many_sure_rows_stays_finite():
    logits = np.tile([800.0, 0.0, -800.0], (500, 1))
    for positive in range(3):
        found = pool(logits, np.zeros(500, int), "noisy_or", positive)[1]
        assert np.isfinite(found).all() and softmax(found).sum() == pytest.approx(1)


def test_cycles_and_recordings_are_pooled_by_their_own():
    recording, patient = np.array([0, 0, 1, 1, 2, 2]), np.array([5, 5, 5, 5, 8, 8])
    pooling = Pooling(cycles="probabilities", recordings="most_positive")
    cycles = Answers(LOGITS, (patient == 8).astype(int), patient, recording, patient, pooling=pooling, positive=1)
    means = [softmax(LOGITS)[2 * n : 2 * n + 2].mean(axis=0) for n in range(3)]
    assert cycles.by_recording().probabilities == pytest.approx(np.array(means))
    assert cycles.by_patient().probabilities == pytest.approx(np.array([max(means[:2], key=lambda p: p[1]), means[2]]))

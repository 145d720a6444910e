"""Poolings of rows that share a key, against loops."""

import math

import numpy as np
import pytest

from trainables.workloads.heart_sound.finetune.aggregation import (
    Answers,
    pool,
    separate,
    softmax,
    weigh_by_attention,
)
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


def test_attention_weighs_rows_by_the_softmax_of_their_scores():
    scores = np.array([2.0, -1.0, 700.0, 0.5, 699.0, -900.0])
    keys, logits = pool(LOGITS, KEYS, "attention", 0, scores)
    weights = weigh_by_attention(scores, KEYS)
    for row, key in enumerate(keys):
        mine = [number for number in range(6) if KEYS[number] == key]
        largest = max(scores[number] for number in mine)
        total = sum(math.exp(scores[number] - largest) for number in mine)
        expected = [math.exp(scores[number] - largest) / total for number in mine]
        assert weights[mine] == pytest.approx(expected)
        for label in range(3):
            mean = sum(weight * LOGITS[number, label] for weight, number in zip(expected, mine, strict=True))
            assert logits[row, label] == pytest.approx(mean)


def test_scores_stay_with_their_cycles_until_they_are_pooled():
    recording, patient = np.array([0, 0, 1, 1, 2, 2]), np.array([5, 5, 5, 5, 8, 8])
    scores = np.array([30.0, 0.0, 0.0, 30.0, 30.0, 30.0])
    cycles = Answers(LOGITS, patient, patient, recording, patient, scores, pooling=Pooling(cycles="attention"))
    chosen = cycles.where(recording > 0)
    assert chosen.scores is not None and chosen.scores.tolist() == [0.0, 30.0, 30.0, 30.0]
    expected = np.array([LOGITS[0], LOGITS[3], LOGITS[4:].mean(axis=0)])
    assert cycles.by_recording().logits == pytest.approx(expected) and cycles.by_recording().scores is None
    assert cycles.by_patient().logits == pytest.approx(np.array([expected[:2].mean(axis=0), expected[2]]))


def test_outputs_of_a_network_are_separated():
    logits, scores = separate(LOGITS, 2)
    assert scores is not None and np.array_equal(np.column_stack([logits, scores]), LOGITS)
    assert separate(LOGITS, 3)[1] is None


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

"""The challenges' scores: published figures of trivial answers on the 942 patients, and loops over the definitions."""

import numpy as np
import pytest

from trainables.metrics.classification import count_confusion
from trainables.metrics.heart_scores import (
    MURMUR_WEIGHTS,
    OUTCOME_WEIGHTS,
    QualityWeights,
    any_present,
    compute_cost,
    modified_accuracy,
    weighted_accuracy,
)

MURMURS = np.repeat([0, 1, 2], [179, 68, 695])
OUTCOMES = np.repeat([0, 1], [486, 456])


@pytest.mark.parametrize(("answer", "expected"), [(0, "0.499"), (2, "0.387"), (1, "0.114")])
def test_murmur_scores_of_constant_answers_are_as_published(answer, expected):
    confusion = count_confusion(MURMURS, np.full(942, answer), 3)
    assert f"{weighted_accuracy(confusion, MURMUR_WEIGHTS):.3f}" == expected


@pytest.mark.parametrize(("answer", "accuracy", "cost"), [(1, "0.824", "14851"), (0, "0.176", "24239")])
def test_outcome_scores_of_constant_answers_are_as_published(answer, accuracy, cost):
    confusion = count_confusion(OUTCOMES, np.full(942, answer), 2)
    assert f"{weighted_accuracy(confusion, OUTCOME_WEIGHTS):.3f}" == accuracy
    assert f"{compute_cost(OUTCOMES == 1, np.full(942, answer == 1)):.0f}" == cost


def test_the_cost_of_perfect_answers_on_the_public_patients():
    assert f"{compute_cost(OUTCOMES == 1, OUTCOMES == 1):.0f}" == "5286"


def test_weighted_accuracy_is_a_weighted_count():
    generator = np.random.default_rng(0)
    labels, answers = generator.integers(0, 3, (2, 50))
    right = sum((5, 3, 1)[a] for a, b in zip(labels, answers, strict=True) if a == b)
    found = weighted_accuracy(count_confusion(labels, answers, 3), MURMUR_WEIGHTS)
    assert found == pytest.approx(right / sum((5, 3, 1)[a] for a in labels))
    assert weighted_accuracy(np.zeros((3, 3)), MURMUR_WEIGHTS) is None
    assert compute_cost(np.zeros(0, bool), np.zeros(0, bool)) is None


def test_any_present_recording_makes_the_patient_present():
    assert [any_present(np.array(each)) for each in ([2, 0, 1], [2, 1], [2, 2])] == [0, 1, 2]


def naive_macc(is_abnormal, answers, is_good, wa, wn) -> float:
    def rate(ill: bool, right: int, weights) -> float:
        total = 0.0
        for good, weight in ((True, weights[0]), (False, weights[1])):
            rows = [a for i, a, g in zip(is_abnormal, answers, is_good, strict=True) if i == ill and g == good]
            hits = [a == right or (not good and a == 0) for a in rows]
            total += weight * sum(hits) / len(rows) if rows else 0.0
        return total

    return (rate(True, 1, wa) + rate(False, -1, wn)) / 2


@pytest.mark.parametrize("seed", range(5))
def test_macc_is_that_of_the_definition(seed):
    generator = np.random.default_rng(seed)
    is_abnormal, is_good = generator.random((2, 80)) < [[0.3], [0.8]]
    answers = generator.integers(-1, 2, 80)
    weights = QualityWeights((0.8602, 0.1398), (0.9252, 0.0748))
    found = modified_accuracy(is_abnormal, answers, is_good, weights)
    assert found is not None
    assert found.score == pytest.approx(naive_macc(is_abnormal, answers, is_good, weights.abnormal, weights.normal))
    own = modified_accuracy(is_abnormal, answers, is_good)
    wa, wn = (float(is_good[rows].mean()) for rows in (is_abnormal, ~is_abnormal))
    assert own is not None
    assert own.score == pytest.approx(naive_macc(is_abnormal, answers, is_good, (wa, 1 - wa), (wn, 1 - wn)))


def test_macc_is_the_mean_of_sensitivity_and_specificity():
    is_abnormal = np.array([True] * 4 + [False] * 10)
    answers = np.array([1, 1, 1, -1] + [-1] * 8 + [1] * 2)
    found = modified_accuracy(is_abnormal, answers, np.ones(14, bool))
    assert found is not None and (found.sensitivity, found.specificity, found.score) == pytest.approx(
        (0.75, 0.8, 0.775)
    )
    assert modified_accuracy(np.ones(3, bool), np.ones(3), np.ones(3, bool)) is None

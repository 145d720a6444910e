"""Every score against loops over its definition, and the areas against scikit-learn as well."""

import numpy as np
import pytest
from sklearn import metrics as reference

from trainables.metrics.classification import (
    compute_auroc,
    compute_average_precision,
    count_confusion,
    precision_recall_curve,
    predict,
    roc_curve,
    score,
    score_confusion,
    score_constants,
)


def naive_auroc(is_positive, values) -> float:
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, one in zip(values, is_positive, strict=True)
        if one
        for b, other in zip(values, is_positive, strict=True)
        if not other
    ]
    return sum(wins) / len(wins)


def naive_average_precision(is_positive, values) -> float:
    total, before = 0.0, 0.0
    for threshold in sorted(set(values), reverse=True):
        hits = sum(one and value >= threshold for one, value in zip(is_positive, values, strict=True))
        claimed = sum(value >= threshold for value in values)
        recall = hits / sum(is_positive)
        total, before = total + (recall - before) * hits / claimed, recall
    return total


@pytest.mark.parametrize("seed", range(6))
def test_areas_are_those_of_the_definitions_with_ties(seed):
    generator = np.random.default_rng(seed)
    is_positive = generator.random(40) < 0.3
    values = generator.integers(0, 8, 40) / 8
    assert compute_auroc(is_positive, values) == pytest.approx(naive_auroc(is_positive, values))
    assert compute_auroc(is_positive, values) == pytest.approx(reference.roc_auc_score(is_positive, values))
    found = compute_average_precision(is_positive, values)
    assert found == pytest.approx(naive_average_precision(is_positive, values))
    assert found == pytest.approx(reference.average_precision_score(is_positive, values))


def test_areas_of_one_class_are_undefined():
    values = np.array([0.1, 0.9])
    assert compute_auroc(np.array([True, True]), values) is None
    assert compute_auroc(np.array([False, False]), values) is None
    assert compute_average_precision(np.array([False, False]), values) is None


def test_curves_end_where_everything_is_claimed():
    is_positive, values = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.8, 0.1])
    false, true = roc_curve(is_positive, values)
    assert false.tolist() == [0, 0, 0.5, 1] and true.tolist() == [0, 0.5, 1, 1]
    recall, precision = precision_recall_curve(is_positive, values)
    assert recall.tolist() == [0.5, 1, 1] and precision == pytest.approx([1, 2 / 3, 0.5])


@pytest.mark.parametrize("seed", range(4))
def test_binary_scores_are_counted_ones(seed):
    generator = np.random.default_rng(seed)
    labels, predicted = generator.integers(0, 2, (2, 30))
    tp = sum(a == b == 1 for a, b in zip(labels, predicted, strict=True))
    tn = sum(a == b == 0 for a, b in zip(labels, predicted, strict=True))
    fp, fn = sum((labels == 0) & (predicted == 1)), sum((labels == 1) & (predicted == 0))
    expected = {
        "accuracy": (tp + tn) / 30,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "f1_macro": (2 * tp / (2 * tp + fp + fn) + 2 * tn / (2 * tn + fp + fn)) / 2,
    }
    assert score_confusion(count_confusion(labels, predicted, 2), positive=1) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_scores_of_three_classes_are_means_over_them(seed):
    generator = np.random.default_rng(seed)
    labels, predicted = generator.integers(0, 3, (2, 60))
    found = score_confusion(count_confusion(labels, predicted, 3), positive=0)
    one_against_rest = [np.mean(predicted[labels != c] != c) for c in range(3)]
    assert found["specificity"] == pytest.approx(np.mean(one_against_rest))
    for name, function in (("precision", reference.precision_score), ("recall", reference.recall_score)):
        assert found[name] == pytest.approx(function(labels, predicted, average="macro"))
    assert found["f1"] == found["f1_macro"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert found["sensitivity"] == found["recall"]


def test_a_never_predicted_class_has_zero_or_no_precision():
    labels, predicted = np.array([0, 1, 2, 2]), np.array([0, 0, 2, 2])
    assert score_confusion(count_confusion(labels, predicted, 3), positive=0)["precision"] == pytest.approx(1.5 / 3)
    found = score_confusion(count_confusion(np.array([0, 1]), np.array([0, 0]), 2), positive=1)
    assert "precision" not in found and found["recall"] == 0
    assert "recall" not in score_confusion(count_confusion(np.array([0]), np.array([0]), 2), positive=1)
    assert score_confusion(np.zeros((2, 2), int), positive=1) == {}


def test_a_class_that_does_not_occur_is_left_out_of_the_means():
    found = score_confusion(count_confusion(np.array([0, 1]), np.array([0, 1]), 3), positive=0)
    assert found["precision"] == found["recall"] == found["f1_macro"] == 1


def test_areas_of_three_classes_are_means_over_those_present():
    generator = np.random.default_rng(0)
    labels, values = generator.integers(0, 2, 30), generator.dirichlet(np.ones(3), 30)
    found = score(labels, values, positive=0)
    assert found["auroc"] == pytest.approx(np.mean([naive_auroc(labels == c, values[:, c]) for c in (0, 1)]))
    assert found["auprc"] == pytest.approx(
        np.mean([naive_average_precision(labels == c, values[:, c]) for c in (0, 1)])
    )
    assert score(labels[:0], values[:0], positive=0) == {}


def test_among_equal_probabilities_the_positive_is_answered():
    values = np.array([[0.5, 0.5], [0.6, 0.4], [0.4, 0.6]])
    assert predict(values, positive=1).tolist() == [1, 0, 1]
    assert predict(np.array([[0.2, 0.4, 0.4]]), positive=0).tolist() == [1]


def test_constant_answers_have_the_best_that_one_answer_reaches():
    found = score_constants(np.array([0] * 7 + [1] * 3), 2, positive=1)
    assert found["accuracy"] == 0.7 and found["sensitivity"] == found["specificity"] == 1
    assert found["f1"] == pytest.approx(6 / 13) and found["auroc"] == 0.5 and found["auprc"] == pytest.approx(0.3)


def test_given_answers_replace_the_likeliest_class():
    labels, probabilities = np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    told = score(labels, probabilities, positive=1, predicted=np.array([0, 1, 1, 0]))
    assert told["accuracy"] == 1 and score(labels, probabilities, positive=1)["accuracy"] == 0.5
    assert told["auroc"] == score(labels, probabilities, positive=1)["auroc"]

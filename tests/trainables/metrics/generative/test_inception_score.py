import math

import numpy as np
import pytest
import torch

from trainables.metrics.generative.inception_score import compute_inception_score


def naive_score(logits: np.ndarray) -> float:
    """The definition with loops."""
    p = [np.exp(row) / np.exp(row).sum() for row in logits]
    marginal = np.mean(p, axis=0)
    divergences = [sum(a * math.log(a / b) for a, b in zip(row, marginal, strict=True)) for row in p]
    return math.exp(sum(divergences) / len(divergences))


def test_score_of_each_split_equals_the_definition():
    logits = torch.randn(23, 5, generator=torch.Generator().manual_seed(0)) * 2
    splits = np.array_split(logits.double().numpy(), 4)
    expected = [naive_score(split) for split in splits]
    score = compute_inception_score(logits, num_splits=4)
    assert score.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert score.std == pytest.approx(np.std(expected), rel=1e-9)


def test_score_of_certain_even_predictions_is_the_class_count():
    logits = torch.eye(7).repeat(3, 1) * 1e5
    assert compute_inception_score(logits, num_splits=3).mean == pytest.approx(7)


def test_score_is_one_when_all_predictions_are_equal():
    logits = torch.tensor([[3.0, -1.0, 0.5]]).repeat(6, 1)
    score = compute_inception_score(logits, num_splits=2)
    assert score.mean == pytest.approx(1) and score.std == pytest.approx(0)


def test_more_splits_than_samples_are_refused():
    with pytest.raises(ValueError, match="with 3 samples it must be 1 to 3"):
        compute_inception_score(torch.zeros(3, 2), num_splits=4)

import numpy as np
import pytest
import torch

from trainables.metrics.generative import precision_recall
from trainables.metrics.generative.precision_recall import compute_precision_recall


def features(count: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def naive_share(samples: np.ndarray, others: np.ndarray, neighbour: int) -> float:
    """The share of samples inside the ball of one of the others."""
    radii = []
    for row in others:
        distances = sorted(np.linalg.norm(row - other) for other in others)
        radii.append(distances[neighbour])  # the first is 0, its own
    inside = [
        any(np.linalg.norm(row - other) <= radius for other, radius in zip(others, radii, strict=True))
        for row in samples
    ]
    return float(np.mean(inside))


@pytest.mark.parametrize("neighbour", [1, 3])
def test_both_equal_naive_loops(monkeypatch, neighbour):
    monkeypatch.setattr(precision_recall, "_CHUNK", 7)
    real, generated = features(40), features(40, scale=1.6, seed=1)
    found = compute_precision_recall(real, generated, neighbour=neighbour)
    a, b = real.double().numpy(), generated.double().numpy()
    assert found.precision == naive_share(b, a, neighbour)
    assert found.recall == naive_share(a, b, neighbour)
    assert 0 < found.precision < found.recall


def test_a_copy_of_the_real_samples_is_perfect():
    found = compute_precision_recall(features(30), features(30))
    assert (found.precision, found.recall) == (1, 1)


def test_one_sample_again_and_again_has_no_recall():
    found = compute_precision_recall(features(30), features(30)[:1].repeat(30, 1))
    assert found.precision == 1 and found.recall == pytest.approx(1 / 30)


def test_sets_of_other_sizes_and_of_few_rows_are_refused():
    with pytest.raises(ValueError, match="as many real as generated samples, more than 3; there are 9 and 8"):
        compute_precision_recall(features(9), features(8))
    with pytest.raises(ValueError, match="there are 3 and 3"):
        compute_precision_recall(features(3), features(3))

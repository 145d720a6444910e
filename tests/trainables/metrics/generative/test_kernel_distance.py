import numpy as np
import pytest
import torch

from trainables.metrics.generative.kernel_distance import compute_kernel_distance


def features(count: int, dim: int = 5, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + shift


def naive(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    m, n = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_y = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_x + within_y - 2 * sum(kernel(a, b) for a in x for b in y) / (m * n)


def distance(first: torch.Tensor, second: torch.Tensor, **settings: int):
    return compute_kernel_distance(first, second, generator=torch.Generator().manual_seed(1), **settings)


def test_the_distance_of_whole_sets_equals_a_naive_sum():
    x, y = features(12), features(12, shift=0.7, seed=1)
    found = distance(x, y, num_subsets=4)
    assert found.mean == pytest.approx(naive(x.double().numpy(), y.double().numpy()), rel=1e-10)
    assert found.std == pytest.approx(0, abs=1e-10)


def test_the_subsets_are_drawn_of_each_set_without_repetition():
    x, y = features(9), features(7, shift=0.7, seed=1)
    found = distance(x, y, num_subsets=3, subset_size=4)
    generator, expected = torch.Generator().manual_seed(1), []
    for _ in range(3):
        parts = [rows[torch.randperm(len(rows), generator=generator)[:4]].double().numpy() for rows in (x, y)]
        expected.append(naive(*parts))
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-10)
    assert found.std == pytest.approx(np.std(expected), rel=1e-8)


def test_sets_of_one_distribution_are_near_zero_on_average():
    same = [distance(features(60, seed=seed), features(60, seed=100 + seed), num_subsets=1).mean for seed in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 200**0.5 < 0.2 * distance(features(60), features(60, shift=0.7)).mean


def test_a_set_of_one_row_is_refused():
    with pytest.raises(ValueError, match="at least 2 rows of each set, and one has 1"):
        distance(features(1), features(5))

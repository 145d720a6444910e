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


@pytest.mark.parametrize(("given", "size"), [(3, 3), (1000, 4)])
def test_the_distance_equals_naive_sums_over_random_subsets(given, size):
    x, y = features(13), features(9, shift=0.7, seed=1)
    found = distance(x, y, num_subsets=5, subset_size=given)
    generator, expected = torch.Generator().manual_seed(1), []
    for _ in range(5):
        parts = [rows[torch.randperm(len(rows), generator=generator)[:size]].double().numpy() for rows in (x, y)]
        assert all(len(part) == size for part in parts)
        expected.append(naive(*parts))
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-10)
    assert found.std == pytest.approx(np.std(expected), rel=1e-8) != 0


def test_sets_of_one_distribution_are_near_zero_on_average():
    same = [distance(features(60, seed=seed), features(60, seed=100 + seed), num_subsets=1).mean for seed in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 200**0.5 < 0.2 * distance(features(60), features(60, shift=0.7)).mean


def test_a_set_of_few_rows_is_refused():
    with pytest.raises(ValueError, match="at least 4 rows of each set, and one has 3"):
        distance(features(3), features(5))

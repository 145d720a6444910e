import math

import numpy as np
import pytest
import torch

from trainables.metrics.generative.frechet import Gaussian, RunningMoments, compute_frechet_distance


def gaussian(mean, covariance) -> Gaussian:
    return Gaussian(torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(covariance, dtype=torch.float64))


def random_covariance(dim: int, rank: int, seed: int) -> torch.Tensor:
    factor = torch.randn(dim, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return factor @ factor.T


def test_distance_in_one_dimension_is_the_closed_form():
    distance = compute_frechet_distance(gaussian([1.0], [[4.0]]), gaussian([-2.0], [[9.0]]))
    assert distance == pytest.approx((1 + 2) ** 2 + (2 - 3) ** 2, abs=1e-12)


def test_distance_of_diagonal_gaussians_adds_over_dimensions():
    means, stds = [[0.0, 1.0, 5.0], [2.0, 1.0, 4.0]], [[1.0, 2.0, 0.5], [3.0, 2.0, 0.0]]
    p, q = (gaussian(mean, np.diag(np.square(std))) for mean, std in zip(means, stds, strict=True))
    expected = sum((a - b) ** 2 for rows in (means, stds) for a, b in zip(*rows, strict=True))
    assert compute_frechet_distance(p, q) == pytest.approx(expected, abs=1e-12)


def test_distance_of_commuting_covariances_follows_their_spectra():
    q, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    a, b = torch.tensor([1.0, 2, 3, 4, 5, 6]).double(), torch.tensor([6.0, 1, 0.1, 4, 2, 9]).double()
    zero = torch.zeros(6)
    distance = compute_frechet_distance(gaussian(zero, q @ a.diag() @ q.T), gaussian(zero, q @ b.diag() @ q.T))
    assert distance == pytest.approx(float((a.sqrt() - b.sqrt()).square().sum()), rel=1e-12)


@pytest.mark.parametrize("rank", [3, 8])
def test_distance_equals_the_formula_by_eigenvalues(rank: int):
    a, b = random_covariance(8, rank, 1), random_covariance(8, 8, 2)
    mean_a, mean_b = np.arange(8.0), np.ones(8)
    eigenvalues = np.linalg.eigvals(a.numpy() @ b.numpy())
    roots = np.sqrt(np.clip(eigenvalues.real, 0, None)).sum()
    expected = ((mean_a - mean_b) ** 2).sum() + float(a.trace() + b.trace()) - 2 * roots
    assert compute_frechet_distance(gaussian(mean_a, a), gaussian(mean_b, b)) == pytest.approx(expected, rel=1e-6)


def test_distance_is_symmetric_and_zero_for_equal_gaussians():
    p, q = gaussian(np.zeros(40), random_covariance(40, 5, 3)), gaussian(np.ones(40), random_covariance(40, 9, 4))
    assert compute_frechet_distance(p, q) == pytest.approx(compute_frechet_distance(q, p), rel=1e-9)
    assert compute_frechet_distance(p, p) == pytest.approx(0, abs=1e-9)
    constant = gaussian(np.ones(4), np.zeros((4, 4)))
    assert compute_frechet_distance(constant, constant) == 0


def test_distance_refuses_features_that_are_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        compute_frechet_distance(gaussian([math.nan], [[1.0]]), gaussian([0.0], [[1.0]]))


def test_running_moments_equal_numpy_over_all_rows():
    rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(5)) + 100
    moments = RunningMoments(4)
    for part in rows.split(7):
        moments.add(part)
    result = moments.gaussian()
    assert np.allclose(result.mean, rows.double().numpy().mean(0), atol=1e-10)
    assert np.allclose(result.covariance, np.cov(rows.double().numpy().T), atol=1e-9)


def test_moments_summed_over_ranks_equal_those_of_all_rows():
    rows = torch.randn(30, 3, generator=torch.Generator().manual_seed(6))
    parts = [RunningMoments(3) for _ in range(2)]
    parts[0].add(rows[:11])
    parts[1].add(rows[11:])
    packed = []
    for part in parts:
        part.over_ranks(lambda tensor: packed.append(tensor) or tensor)
    total = parts[0].over_ranks(lambda tensor: packed[0] + packed[1]).gaussian()
    assert torch.allclose(total.mean, rows.double().mean(0), atol=1e-12)
    assert torch.allclose(total.covariance, torch.cov(rows.double().T), atol=1e-12)


def test_a_covariance_of_one_row_is_refused():
    moments = RunningMoments(2)
    moments.add(torch.ones(1, 2))
    with pytest.raises(ValueError, match="1 rows were given"):
        moments.gaussian()


def test_gaussian_survives_its_state_dict():
    p = gaussian([1.0, 2.0], random_covariance(2, 2, 7))
    q = Gaussian.from_state_dict(p.state_dict())
    assert torch.equal(p.mean, q.mean) and torch.equal(p.covariance, q.covariance)

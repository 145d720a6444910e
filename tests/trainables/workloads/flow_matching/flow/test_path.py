import math

import numpy as np
import pytest
import torch

from data_pipelines.contract.row_draws import torch_draws
from trainables.workloads.flow_matching.flow.path import draw_times, drop_labels, path_at, sample_path
from trainables.workloads.flow_matching.path_config import (
    AnyPath,
    LogitNormalTimes,
    Straight,
    Trigonometric,
    UniformTimes,
    VariancePreserving,
)

PATHS: list[AnyPath] = [
    Straight(),
    Straight(sigma_min=0.1),
    VariancePreserving(),
    VariancePreserving(beta_min=0.2, beta_max=12),
    Trigonometric(),
]


def naive_weights(path: AnyPath, t: float) -> tuple[float, float]:
    """Weights of image and noise."""
    if isinstance(path, Straight):
        return t, 1 - (1 - path.sigma_min) * t
    if isinstance(path, Trigonometric):
        return math.sin(math.pi * t / 2), math.cos(math.pi * t / 2)
    middle = (1 - t) / 2  # beta is linear, so its integral is the value in the middle times the length
    exponent = (path.beta_min + (path.beta_max - path.beta_min) * middle) * (1 - t)
    image = math.exp(-exponent / 2)
    return image, math.sqrt(1 - image**2)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_path_equals_the_straight_line_written_as_loops():
    x_0, x_1 = torch.randn(3, 2, 2, 2, generator=generator(1)), torch.randn(3, 2, 2, 2, generator=generator(2))
    path = sample_path(x_0, x_1, path=Straight(), times=UniformTimes(), draws=torch_draws(3, 3))
    for i in range(3):
        t = float(path.t[i])
        for a, b, x, v in zip(
            *(rows[i].flatten().tolist() for rows in (x_0, x_1, path.x_t, path.velocity)), strict=True
        ):
            assert abs(x - ((1 - t) * a + t * b)) < 1e-6
            assert abs(v - (b - a)) < 1e-6


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_the_path_and_its_velocity_equal_naive_loops(path: AnyPath):
    x_0, x_1 = torch.randn(3, 1, 2, 2, generator=generator(1)), torch.randn(3, 1, 2, 2, generator=generator(2))
    times = [0.0, 0.37, 0.9]
    found = path_at(x_0.double(), x_1.double(), torch.tensor(times, dtype=torch.float64), path)
    for i, t in enumerate(times):
        a, b = naive_weights(path, t)
        ahead = [
            (y - x) / 2e-6 for x, y in zip(naive_weights(path, t - 1e-6), naive_weights(path, t + 1e-6), strict=True)
        ]
        for noise, image, x, v in zip(
            *(rows[i].flatten().tolist() for rows in (x_0, x_1, found.x_t, found.velocity)), strict=True
        ):
            assert x == pytest.approx(a * image + b * noise, abs=1e-9)
            assert v == pytest.approx(ahead[0] * image + ahead[1] * noise, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_every_path_leads_from_noise_to_image(path: AnyPath):
    x_0, x_1 = torch.ones(1, 1, 1, 1).double(), torch.ones(1, 1, 1, 1).double()
    nothing = torch.zeros_like(x_0)
    start, end = torch.zeros(1).double(), torch.ones(1).double()
    assert path_at(x_0, nothing, start, path).x_t.item() == pytest.approx(1, abs=2e-3)
    assert path_at(nothing, x_1, end, path).x_t.item() == pytest.approx(1, abs=1e-4)
    left = path.sigma_min if isinstance(path, Straight) else 0
    assert path_at(x_0, nothing, end, path).x_t.item() == pytest.approx(left, abs=2e-3)
    assert path_at(nothing, x_1, start, path).x_t.item() == pytest.approx(0, abs=0.05)
    assert path_at(x_0, x_1, end, path).velocity.isfinite().all()


def test_the_straight_path_has_the_bits_of_rectified_flow():
    x_0, x_1 = torch.randn(64, 3, 4, 4, generator=generator(1)), torch.rand(64, 3, 4, 4, generator=generator(2))
    t = torch.rand(64, generator=generator(3))
    found, time = path_at(x_0, x_1, t, Straight()), t.view(-1, 1, 1, 1)
    assert torch.equal(found.x_t, (1 - time) * x_0 + time * x_1) and torch.equal(found.velocity, x_1 - x_0)


def test_a_path_that_begins_far_from_noise_is_refused():
    with pytest.raises(ValueError, match=r"images have a weight of 0\.22 in the noise"):
        VariancePreserving(beta_min=1, beta_max=5)


def test_uniform_times_follow_the_draws():
    t = draw_times(UniformTimes(), torch_draws(20_000, 4))
    assert torch.equal(t, torch_draws(20_000, 4).uniform())
    counts = torch.histc(t, 10, 0, 1)
    assert counts.sum() == 20_000
    assert (counts - 2000).abs().max() < 4 * (2000 * 0.9) ** 0.5


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.5, 0.7)])
def test_logit_normal_times_have_their_density(mean: float, std: float):
    """Shares of ten bins by the integral of Esser et al. 2024, eq. 19."""
    t = draw_times(LogitNormalTimes(mean=mean, std=std), torch_draws(20_000, 4))
    assert t.min() > 0 and t.max() < 1
    for bin_ in range(10):
        grid = (np.arange(1000) + 0.5) / 10_000 + bin_ / 10
        logit = np.log(grid / (1 - grid))
        density = np.exp(-((logit - mean) ** 2) / (2 * std**2)) / (std * np.sqrt(2 * np.pi) * grid * (1 - grid))
        expected = 20_000 * density.sum() / 10_000
        count = int(((t >= bin_ / 10) & (t < (bin_ + 1) / 10)).sum())
        assert abs(count - expected) < 4 * expected**0.5 + 2


def test_labels_are_dropped_at_the_given_ratio():
    label = torch.arange(20_000) % 10
    dropped = drop_labels(label, 10, 0.1, draws=torch_draws(20_000, 5))
    is_null = dropped == 10
    assert abs(float(is_null.float().mean()) - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5
    assert torch.equal(dropped[~is_null], label[~is_null])


def test_no_label_is_dropped_at_ratio_0_and_every_one_at_ratio_1():
    label = torch.arange(10)
    assert torch.equal(drop_labels(label, 10, 0.0, draws=torch_draws(10, 0)), label)
    assert torch.equal(drop_labels(label, 10, 1.0, draws=torch_draws(10, 0)), torch.full((10,), 10))

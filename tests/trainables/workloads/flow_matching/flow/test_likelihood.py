"""Log-densities against what is known in closed form, and divergences against torch's Jacobian."""

import math

import pytest
import torch
from torch import Tensor, nn

from trainables.workloads.flow_matching.config import Sampling
from trainables.workloads.flow_matching.flow.likelihood import (
    compute_log_density,
    draw_probes,
    exact_divergence,
    quadratic_forms,
)
from trainables.workloads.flow_matching.sampler import interpolate_spherically

SHAPE = (1, 3, 3)
DOPRI5 = Sampling(solver="dopri5", nfe=None, tolerance=1e-6)
MEAN, DEVIATION = 0.3, 0.5


def toy_velocity(t: Tensor, x: Tensor) -> Tensor:
    """E[x_1 - x_0 | x_t] of images that are independent Gaussian values: it leads to their distribution exactly."""
    variance = (1 - t) ** 2 + (t * DEVIATION) ** 2
    return MEAN + (t * DEVIATION**2 - (1 - t)) / variance * (x - t * MEAN)


class Mixer(nn.Module):
    """A velocity whose Jacobian is full and changes from place to place."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(9, 9, generator=generator) / 3, requires_grad=False)

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ self.weight * (1 + t)).view(x.shape) + 0.1 * x**2


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_exact_divergence_is_the_trace_of_the_jacobian(x):
    velocity, t = Mixer(), torch.tensor(0.4)
    jacobian = torch.autograd.functional.jacobian(lambda flat: velocity(t, flat.view(x.shape)).flatten(), x.flatten())
    assert isinstance(jacobian, Tensor)
    assert torch.allclose(exact_divergence(velocity, t, x), jacobian.trace(), atol=1e-5)


def test_exact_divergence_adds_up_over_chunks(monkeypatch, x):
    velocity, t = Mixer(), torch.tensor(0.4)
    expected = exact_divergence(velocity, t, x)
    monkeypatch.setattr("trainables.workloads.flow_matching.flow.likelihood._CHUNK", 4)
    assert torch.allclose(exact_divergence(velocity, t, x), expected, atol=1e-5)


def test_a_quadratic_form_is_that_of_the_jacobian(x):
    velocity, t = Mixer(), torch.tensor(0.4)
    jacobian = torch.autograd.functional.jacobian(lambda flat: velocity(t, flat.view(x.shape)).flatten(), x.flatten())
    vectors = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(2))
    expected = [float(vector.flatten() @ jacobian @ vector.flatten()) for vector in vectors]
    assert quadratic_forms(velocity, t, x, vectors).tolist() == pytest.approx(expected, abs=1e-4)


def test_probes_are_signs():
    probes = draw_probes(200, SHAPE, torch.Generator().manual_seed(0))
    assert probes.shape == (200, *SHAPE) and set(probes.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(probes.mean())) < 0.1


def test_a_gaussian_has_its_log_density_in_closed_form(x):
    image = MEAN + DEVIATION * x[0]
    expected = torch.distributions.Normal(MEAN, DEVIATION).log_prob(image).sum()
    found = compute_log_density(toy_velocity, image, DOPRI5, None)
    assert float(found.estimates) == pytest.approx(float(expected), abs=1e-3)
    assert 10 < found.nfe < 200


def test_fixed_steps_come_near_the_closed_form(x):
    image = MEAN + DEVIATION * x[0]
    expected = float(torch.distributions.Normal(MEAN, DEVIATION).log_prob(image).sum())
    errors = []
    for nfe in (20, 40):
        found = compute_log_density(toy_velocity, image, Sampling(solver="midpoint", nfe=nfe), None)
        assert found.nfe == nfe
        errors.append(abs(float(found.estimates) - expected))
    assert errors[1] < errors[0] / 3 < 0.05  # of second order


def test_hutchinson_agrees_with_exact_within_its_error(x):
    exact = float(compute_log_density(Mixer(), x[0], DOPRI5, None).estimates)
    probes = draw_probes(400, SHAPE, torch.Generator().manual_seed(3))
    estimates = compute_log_density(Mixer(), x[0], DOPRI5, probes).estimates
    error = float(estimates.std()) / math.sqrt(400)
    assert estimates.shape == (400,) and 0 < error < 0.2
    assert abs(float(estimates.mean()) - exact) < 3 * error


def test_nothing_of_the_velocity_gets_a_gradient(x):
    velocity = Mixer()
    with torch.no_grad():
        found = compute_log_density(velocity, x[0], Sampling(solver="euler", nfe=2), None)
    assert not found.estimates.requires_grad and velocity.weight.grad is None


def test_slerp_goes_in_even_angles_from_end_to_end(x):
    first, last = x[0] / x.norm(), torch.randn(*SHAPE, generator=torch.Generator().manual_seed(9))
    path = interpolate_spherically(first, last / last.norm(), 3)
    assert len(path) == 5 and torch.allclose(path[0], first) and torch.allclose(path[4], last / last.norm(), atol=1e-6)
    angles = [math.acos(float((path[place] * path[place + 1]).sum())) for place in range(4)]
    whole = math.acos(float((path[0] * path[4]).sum()))
    assert angles == pytest.approx([whole / 4] * 4, abs=1e-3)
    assert [float(noise.norm()) for noise in path] == pytest.approx([1.0] * 5, abs=1e-5)


def test_slerp_of_equal_directions_is_a_straight_line(x):
    path = interpolate_spherically(x[0], 2 * x[0], 1)
    assert torch.allclose(path[1], 1.5 * x[0], atol=1e-5)

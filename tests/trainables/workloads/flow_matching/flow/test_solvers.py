import math

import pytest
import torch

from trainables.workloads.flow_matching.config import CALLS_PER_STEP, Sampling, Solver
from trainables.workloads.flow_matching.flow import solvers
from trainables.workloads.flow_matching.flow.solvers import solve

ORDERS: list[tuple[Solver, int]] = [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)]
X_0 = torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=torch.float64)


def decay(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return t - x


def exact_decay(x_0: torch.Tensor) -> torch.Tensor:
    """At t = 1 of d x / d t = t - x, which is (x_0 + 1) exp(-t) + t - 1."""
    return (x_0 + 1) * math.exp(-1)


def error(solver: Solver, num_steps: int) -> float:
    sampling = Sampling(solver=solver, nfe=num_steps * CALLS_PER_STEP[solver])
    return float((solve(decay, X_0, sampling).x_1 - exact_decay(X_0)).abs().max())


@pytest.mark.parametrize(("solver", "order"), ORDERS)
def test_error_falls_at_the_order_of_the_solver(solver: Solver, order: int):
    assert math.log2(error(solver, 10) / error(solver, 20)) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("solver", "order"), ORDERS)
def test_shifted_steps_keep_the_order_and_reach_the_end(solver: Solver, order: int):
    def shifted(num_steps: int) -> float:
        sampling = Sampling(solver=solver, nfe=num_steps * CALLS_PER_STEP[solver], shift=3.0)
        return float((solve(decay, X_0, sampling).x_1 - exact_decay(X_0)).abs().max())

    assert math.log2(shifted(20) / shifted(40)) == pytest.approx(order, abs=0.3)


def test_shifted_times_are_those_of_the_noise_level():
    """Esser et al. 2024, eq. 23: the noise level s of even steps becomes shift s / (1 + (shift - 1) s)."""
    edges = Sampling(nfe=10, shift=3.0).edges
    levels = [3 * s / (1 + 2 * s) for s in (1 - i / 10 for i in range(11))]
    assert edges == pytest.approx([1 - level for level in levels]) and (edges[0], edges[-1]) == (0, 1)
    assert Sampling(nfe=10).edges == [i / 10 for i in range(11)]
    with pytest.raises(ValueError, match="`shift` must be 1 with solver: dopri5"):
        Sampling(solver="dopri5", nfe=None, shift=2)


def test_dopri5_meets_its_tolerance_at_a_growing_cost():
    loose, tight = (solve(decay, X_0, Sampling(solver="dopri5", nfe=None, tolerance=tol)) for tol in (1e-3, 1e-9))
    assert torch.allclose(tight.x_1, exact_decay(X_0), atol=1e-7)
    assert not torch.allclose(loose.x_1, exact_decay(X_0), atol=1e-7)
    assert tight.nfe > loose.nfe


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4", "dopri5"])
def test_a_straight_path_is_solved_exactly_in_the_fewest_steps(solver: Solver):
    velocity = torch.tensor([[1.0, 2.0], [-3.0, 0.25]], dtype=torch.float64)
    nfe = CALLS_PER_STEP.get(solver)
    solution = solve(lambda t, x: velocity, X_0, Sampling(solver=solver, nfe=nfe))
    assert torch.allclose(solution.x_1, X_0 + velocity, atol=1e-12)
    assert nfe is None or solution.nfe == nfe


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4", "dopri5"])
def test_nfe_is_the_number_of_calls(solver: Solver):
    calls: list[float] = []

    def velocity(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        calls.append(float(t))
        return decay(t, x)

    calls_per_step = CALLS_PER_STEP.get(solver)
    nfe = None if calls_per_step is None else 5 * calls_per_step
    solution = solve(velocity, X_0, Sampling(solver=solver, nfe=nfe))
    assert solution.nfe == len(calls) == (nfe or len(calls)) > 4
    assert min(calls) >= 0 and max(calls) <= 1


def test_euler_calls_at_the_start_of_each_step():
    times: list[float] = []
    solve(lambda t, x: (times.append(float(t)), x)[1], X_0, Sampling(solver="euler", nfe=4))
    assert times == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("solver", ["euler", "rk4", "dopri5"])
def test_a_velocity_that_is_not_finite_gives_an_end_that_is_not(solver: Solver):
    sampling = Sampling(solver=solver, nfe=CALLS_PER_STEP.get(solver))
    solution = solve(lambda t, x: x * torch.nan, X_0, sampling)
    assert not solution.x_1.isfinite().any()


def test_dopri5_returns_non_finite_values_on_a_diverging_path():
    solution = solve(lambda t, x: 50 * x.square(), X_0.abs() + 1, Sampling(solver="dopri5", nfe=None))
    assert not solution.x_1.isfinite().any()


def test_a_tolerance_that_cannot_be_met_ends_with_advice(monkeypatch):
    monkeypatch.setattr(solvers, "MAX_EVALUATIONS", 50)
    sampling = Sampling(solver="dopri5", nfe=None, tolerance=1e-9)
    with pytest.raises(ValueError) as caught:
        solve(lambda t, x: torch.sin(1000 * t) * x, X_0, sampling)
    assert str(caught.value) == (
        "dopri5 did not converge to tolerance 1e-09 within 50 evaluations; raise `tolerance` "
        "(--tolerance of `evaluate` and `predict`)"
    )


def test_a_tolerance_far_below_float32_is_refused():
    with pytest.raises(ValueError, match=r"greater than or equal to 0\.000000001"):
        Sampling(solver="dopri5", nfe=None, tolerance=1e-14)

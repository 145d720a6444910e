"""Solvers of the flow's differential equation d x / d t = v(t, x), from noise at t = 0 to an image at t = 1."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.workloads.flow_matching.config import Sampling

Velocity = Callable[[Tensor, Tensor], Tensor]
"""The right-hand side v(t, x) with a scalar tensor `t`."""


MAX_EVALUATIONS = 10_000
"""Most calls of the right-hand side in one solution by dopri5; with usual tolerances it takes about a hundred."""


@dataclass(frozen=True)
class Solution:
    """End of the path, and its cost."""

    x_1: Float[Tensor, "batch ..."]
    nfe: int
    """Calls of the right-hand side, counted, not computed."""


class NoConvergenceError(Exception):
    """End of an adaptive solver that would go on for too long."""


class CountedVelocity:
    """Right-hand side that counts its calls, and raises NoConvergenceError beyond the most allowed."""

    def __init__(self, velocity: Velocity, max_calls: int | None = None) -> None:
        self.velocity = velocity
        self.num_calls = 0
        self._max_calls = max_calls

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        if self.num_calls == self._max_calls:
            raise NoConvergenceError
        self.num_calls += 1
        return self.velocity(t, x)


def solve(velocity: Velocity, x_0: Float[Tensor, "batch ..."], sampling: Sampling) -> Solution:
    """Integrate from t = 0 to t = 1.

    A velocity that is not finite gives an end that is not finite with every solver; nothing is clamped here. Raises
    ValueError when dopri5 cannot meet its tolerance.
    """
    if sampling.solver == "dopri5":
        counted = CountedVelocity(velocity, MAX_EVALUATIONS)
        return Solution(_solve_dopri5(counted, x_0, sampling.tolerance), counted.num_calls)
    counted = CountedVelocity(velocity)
    step, num_steps, edges = _STEPS[sampling.solver], sampling.num_steps, sampling.edges
    x = x_0
    for start, end in pairwise(edges):
        t = torch.full((), start, device=x.device, dtype=x.dtype)
        x = step(counted, t, x, 1 / num_steps if sampling.shift == 1 else end - start)
    return Solution(x, counted.num_calls)


def _euler_step(v: Velocity, t: Tensor, x: Tensor, h: float) -> Tensor:
    return x + h * v(t, x)


def _midpoint_step(v: Velocity, t: Tensor, x: Tensor, h: float) -> Tensor:
    return x + h * v(t + h / 2, x + h / 2 * v(t, x))


def _heun_step(v: Velocity, t: Tensor, x: Tensor, h: float) -> Tensor:
    k_1 = v(t, x)
    return x + h / 2 * (k_1 + v(t + h, x + h * k_1))


def _rk4_step(v: Velocity, t: Tensor, x: Tensor, h: float) -> Tensor:
    k_1 = v(t, x)
    k_2 = v(t + h / 2, x + h / 2 * k_1)
    k_3 = v(t + h / 2, x + h / 2 * k_2)
    k_4 = v(t + h, x + h * k_3)
    return x + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)


_STEPS: dict[str, Callable[[Velocity, Tensor, Tensor, float], Tensor]] = {
    "euler": _euler_step,
    "midpoint": _midpoint_step,
    "heun": _heun_step,
    "rk4": _rk4_step,
}


def _solve_dopri5(velocity: Velocity, x_0: Tensor, tolerance: float) -> Tensor:
    """Integrate by Dormand-Prince 5(4) with adaptive steps.

    One step size holds for the complete batch, so the NFE depends on the batch. A step must end at t = 1: otherwise the
    solver steps past it, where the network was never trained.
    """
    from torchdiffeq import odeint

    times = torch.tensor([0.0, 1.0], device=x_0.device, dtype=x_0.dtype)
    try:
        path = odeint(
            velocity, x_0, times, rtol=tolerance, atol=tolerance, method="dopri5", options={"step_t": times[1:]}
        )
    except NoConvergenceError as error:
        raise ValueError(
            f"dopri5 did not converge to tolerance {tolerance:g} within {MAX_EVALUATIONS:,} evaluations; raise "
            "`tolerance` (--tolerance of `evaluate` and `predict`)"
        ) from error
    except AssertionError as error:  # torchdiffeq's error for a state that is not finite, or a step size of 0
        if not str(error).startswith(("underflow in dt", "non-finite values in state")):
            raise
        return torch.full_like(x_0, torch.nan)
    assert isinstance(path, Tensor)
    return path[-1]

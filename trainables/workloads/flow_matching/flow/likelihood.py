"""Log-likelihood of images under the flow, by the instantaneous change of variables.

With d x / d t = v(t, x) from noise x_0 at t = 0 to an image x_1 at t = 1,

    log p_1(x_1) = log N(x_0; 0, I) - integral over t of div v(t, x_t)

(Chen et al. 2018, theorem 1; Song et al. 2021, appendix D.2; Lipman et al. 2023, appendix C). Image and integral are
solved together, backwards in time. div v is the trace of the Jacobian J: exact, by one product with J for every value
of the image, or estimated without bias by Hutchinson's e^T J e, with random signs e that stay the same along the path
(Grathwohl et al. 2019, section 3.1).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.workloads.flow_matching.config import Sampling
from trainables.workloads.flow_matching.flow.solvers import Velocity, solve

_CHUNK = 64
"""Products with the Jacobian in one call of the network."""


@dataclass(frozen=True)
class LogDensity:
    """log p_1 of one image, in nats."""

    estimates: Float[Tensor, " probes"]
    """One for each probe of Hutchinson's, or a single exact one."""
    nfe: int
    """Calls of the velocity on the image alone; with each come products with the Jacobian, for every probe or value."""


def compute_log_density(
    velocity: Velocity,
    x_1: Float[Tensor, "channels height width"],
    sampling: Sampling,
    probes: Float[Tensor, "probes channels height width"] | None,
) -> LogDensity:
    """Compute the log-density of one image.

    `velocity` is v(t, x) of a batch [batch, channels, height, width], whose samples do not depend on each other.
    Without `probes`, Hutchinson's random signs, the divergence is exact.
    """
    size = x_1.numel()
    num_sums = 1 if probes is None else len(probes)

    def backwards(s: Tensor, state: Float[Tensor, "1 values"]) -> Float[Tensor, "1 values"]:
        x = state[:, :size].view(1, *x_1.shape)
        t = 1 - s
        forms = exact_divergence(velocity, t, x) if probes is None else quadratic_forms(velocity, t, x, probes)
        return -torch.cat([velocity(t, x).flatten(), forms.view(-1)])[None]

    start = torch.cat([x_1.flatten(), x_1.new_zeros(num_sums)])[None]
    solution = solve(backwards, start, sampling)
    x_0, integrals = solution.x_1[0, :size].double(), solution.x_1[0, size:].double()
    log_prior = -0.5 * (x_0.square().sum() + size * math.log(2 * math.pi))
    return LogDensity(log_prior + integrals, solution.nfe)


def exact_divergence(velocity: Velocity, t: Tensor, x: Float[Tensor, "1 channels height width"]) -> Float[Tensor, ""]:
    """Compute the trace of the Jacobian d v / d x, by a product with each unit vector."""
    trace = x.new_zeros(())
    for first in range(0, x.numel(), _CHUNK):
        places = torch.arange(first, min(first + _CHUNK, x.numel()), device=x.device)
        units = torch.nn.functional.one_hot(places, x.numel()).to(x).view(-1, *x.shape[1:])
        trace = trace + quadratic_forms(velocity, t, x, units).sum()
    return trace


def quadratic_forms(
    velocity: Velocity,
    t: Tensor,
    x: Float[Tensor, "1 channels height width"],
    vectors: Float[Tensor, "vectors channels height width"],
) -> Float[Tensor, " vectors"]:
    """Compute e^T (d v / d x) e for each vector e."""
    with torch.enable_grad():
        copies = x.detach().repeat(len(vectors), 1, 1, 1).requires_grad_()
        (products,) = torch.autograd.grad(velocity(t, copies), copies, vectors)
    return (products * vectors).flatten(1).sum(dim=1)


def draw_probes(
    count: int, shape: tuple[int, ...], generator: torch.Generator
) -> Float[Tensor, "probes channels height width"]:
    """Draw random signs, whose estimate varies least of all independent entries (Hutchinson 1990)."""
    return 2.0 * torch.randint(0, 2, (count, *shape), generator=generator) - 1

"""Sampling under classifier-free guidance (Ho & Salimans 2022): solves the network's flow for given labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trainables.contract.seeding import seeded_generator
from trainables.workloads.flow_matching.config import Sampling
from trainables.workloads.flow_matching.flow.solvers import solve


@dataclass(frozen=True)
class Samples:
    """Generated images with their cost."""

    images: Float[Tensor, "batch channels height width"]
    """Not clamped; about [-1, 1]."""
    nfe_ode: int
    """Calls of the right-hand side."""
    nfe_net: int
    """Network evaluations of each sample: twice `nfe_ode` under guidance."""


class GuidedVelocity:
    """Right-hand side for one batch of labels, v = v_null + w (v_label - v_null).

    Both halves run as one forward pass over twice the batch, counted as two network evaluations of each sample.
    With w = 1 the formula is v_label, and with w = 0 v_null, which cost one.
    """

    def __init__(self, module: nn.Module, label: Int[Tensor, " batch"], null_label: int, guidance: float) -> None:
        self.module = module
        self.label = label
        self.null_label = null_label
        self.guidance = guidance
        self.num_evaluations = 0

    def __call__(
        self, t: Float[Tensor, ""], x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        time = t.to(x).expand(len(x))
        null_label = torch.full_like(self.label, self.null_label)
        if self.guidance in (0, 1):
            self.num_evaluations += 1
            return self.module(x, time, self.label if self.guidance else null_label).to(x)
        self.num_evaluations += 2
        labels = torch.cat([self.label, null_label])
        velocity = self.module(torch.cat([x, x]), torch.cat([time, time]), labels).to(x)
        v_label, v_null = velocity.chunk(2)
        return v_null + self.guidance * (v_label - v_null)


@torch.no_grad()
def generate(
    module: nn.Module,
    x_0: Float[Tensor, "batch channels height width"],
    label: Int[Tensor, " batch"],
    *,
    null_label: int,
    sampling: Sampling,
) -> Samples:
    """Generate one image of each label from its noise; `module` is in eval mode, on the device of `x_0`.

    `module` predicts the velocity from (x, t, label), and `x_0` is the noise.
    """
    velocity = GuidedVelocity(module, label, null_label, sampling.guidance)
    solution = solve(velocity, x_0, sampling)
    return Samples(images=solution.x_1, nfe_ode=solution.nfe, nfe_net=velocity.num_evaluations)


def draw_noise(purpose: str, indices: Sequence[int], *, seed: int, shape: tuple[int, ...]) -> Float[Tensor, "rows ..."]:
    """Draw standard normal noise for samples, on the CPU.

    Samples for another `purpose` have other noise; `indices` are the numbers of the samples.
    """
    return torch.stack([torch.randn(*shape, generator=seeded_generator(seed, purpose, index)) for index in indices])

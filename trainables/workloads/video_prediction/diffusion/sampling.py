"""Sampling from noise to frames: ancestral sampling (DDPM) and DDIM, on all timesteps or a part of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from trainables.workloads.video_prediction.config import Sampling
from trainables.workloads.video_prediction.diffusion.process import Estimate, Process

Denoiser = Callable[[Float[Tensor, "batch ..."], Int64[Tensor, " batch"]], Float[Tensor, "batch ..."]]
"""Function from x_t and t to the network's output."""


class Prediction(NamedTuple):
    """Frames, in the space of the network, and their cost."""

    frames: Float[Tensor, "batch ..."]
    nfe: int
    """Network calls for each sample."""


def choose_timesteps(num_steps: int, num_timesteps: int) -> list[int]:
    """Return timesteps from the last to 0 at even distances, rounded down; each once."""
    return [int(place) for place in torch.linspace(num_timesteps - 1, 0, num_steps, dtype=torch.float64)]


def draw_samples(
    denoiser: Denoiser,
    process: Process,
    sampling: Sampling,
    *,
    shape: Sequence[int],
    generators: Sequence[torch.Generator],
    device: torch.device,
    is_bounded: bool,
) -> Prediction:
    """Draw one sample of `shape` for each generator, which gives all of its noise.

    A sample does not depend on the others. `shape` is that of one sample, and each has a generator, on the CPU.
    `is_bounded` is whether the clean frames lie within -1..1.
    """
    x_t = _noise(generators, shape, device)
    times = choose_timesteps(sampling.num_steps, process.num_timesteps)
    for t, s in zip(times, [*times[1:], None], strict=True):
        step = torch.full((len(generators),), t, dtype=torch.int64, device=device)
        estimate = process.estimate(denoiser(x_t, step).float(), x_t, step)
        if is_bounded and sampling.clamps_x0:
            x_0 = estimate.x_0.clamp(-1, 1)
            estimate = Estimate(x_0, process.estimate_noise(x_0, x_t, step))
        mean, deviation = transition(process, sampling, estimate, x_t, t=t, s=s)
        x_t = mean if deviation == 0 else mean + deviation * _noise(generators, shape, device)
    return Prediction(x_t, len(times))


def transition(
    process: Process, sampling: Sampling, estimate: Estimate, x_t: Float[Tensor, "batch ..."], *, t: int, s: int | None
) -> tuple[Float[Tensor, "batch ..."], float]:
    """Return mean and standard deviation of x_s given x_t and an estimate.

    DDPM: Ho et al. 2020, eq. 6 and 7, with beta the variance added from s to t. DDIM: Song et al. 2021, eq. 12 and 16.
    `estimate` is that of x_0 and eps at t, and `s` the earlier timestep; None is the clean end, where ab is 1.
    """
    before = float(process.alpha_bars[t])
    after = 1.0 if s is None else float(process.alpha_bars[s])
    variance = (1 - after) / (1 - before) * (1 - before / after)
    if sampling.method == "ddpm":
        alpha = before / after
        mean = after**0.5 * (1 - alpha) / (1 - before) * estimate.x_0
        return mean + alpha**0.5 * (1 - after) / (1 - before) * x_t, variance**0.5
    deviation = sampling.eta * variance**0.5
    return after**0.5 * estimate.x_0 + (1 - after - deviation**2) ** 0.5 * estimate.eps, deviation


def _noise(generators: Sequence[torch.Generator], shape: Sequence[int], device: torch.device) -> Tensor:
    return torch.stack([torch.randn(*shape, generator=generator) for generator in generators]).to(device)

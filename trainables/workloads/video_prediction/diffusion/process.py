"""The forward process of diffusion (Ho et al. 2020), and the network's possible targets.

x_0 are clean frames, eps is Gaussian noise, ab_t the product of 1 - beta up to t;
x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) eps.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from trainables.workloads.video_prediction.config import Diffusion

_COSINE_OFFSET, _MAX_BETA = 0.008, 0.999


class Estimate(NamedTuple):
    """Estimate of both parts of x_t from an output of the network."""

    x_0: Float[Tensor, "batch ..."]
    eps: Float[Tensor, "batch ..."]


class Process:
    """Tables of one noise schedule, on the CPU in float64; timesteps are counted from 0."""

    def __init__(self, settings: Diffusion) -> None:
        self.num_timesteps, self.prediction = settings.num_timesteps, settings.prediction
        self.betas: Float64[Tensor, " timesteps"] = compute_betas(settings)
        self.alpha_bars: Float64[Tensor, " timesteps"] = (1 - self.betas).cumprod(0)
        self._near = self.alpha_bars
        """On the device of the last call: a copy in every step would synchronise."""

    def add_noise(
        self, x_0: Float[Tensor, "batch ..."], eps: Float[Tensor, "batch ..."], t: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch ..."]:
        """Compute x_t."""
        signal, noise = self._factors(t, x_0)
        return signal * x_0 + noise * eps

    def target(
        self, x_0: Float[Tensor, "batch ..."], eps: Float[Tensor, "batch ..."], t: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch ..."]:
        """Compute the network's target; v as in Salimans and Ho 2022, appendix D."""
        if self.prediction == "eps":
            return eps
        if self.prediction == "x0":
            return x_0
        signal, noise = self._factors(t, x_0)
        return signal * eps - noise * x_0

    def estimate(
        self, output: Float[Tensor, "batch ..."], x_t: Float[Tensor, "batch ..."], t: Int64[Tensor, " batch"]
    ) -> Estimate:
        """Invert `target`, given x_t."""
        signal, noise = self._factors(t, x_t)
        if self.prediction == "eps":
            return Estimate((x_t - noise * output) / signal, output)
        if self.prediction == "x0":
            return Estimate(output, (x_t - signal * output) / noise)
        return Estimate(signal * x_t - noise * output, noise * x_t + signal * output)

    def estimate_noise(
        self, x_0: Float[Tensor, "batch ..."], x_t: Float[Tensor, "batch ..."], t: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch ..."]:
        """Compute the noise in x_t for a given x_0."""
        signal, noise = self._factors(t, x_t)
        return (x_t - signal * x_0) / noise

    def _factors(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        if self._near.device != t.device:
            self._near = self.alpha_bars.to(t.device)
        alpha_bar = self._near[t].view(-1, *[1] * (like.ndim - 1))
        return alpha_bar.sqrt().to(like.dtype), (1 - alpha_bar).sqrt().to(like.dtype)


def compute_betas(settings: Diffusion) -> Float64[Tensor, " timesteps"]:
    """Compute the variance that each timestep adds."""
    count = settings.num_timesteps
    if settings.schedule == "linear":
        return torch.linspace(settings.beta_start, settings.beta_end, count, dtype=torch.float64)
    place = torch.arange(count + 1, dtype=torch.float64) / count
    alpha_bar = torch.cos((place + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * torch.pi / 2).square()
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=_MAX_BETA)

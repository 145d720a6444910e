"""Probability paths between noise and data, along which the velocity is trained.

x_t = a(t) x_1 + b(t) x_0, where x_0 ~ N(0, I) is the noise, x_1 an image in [-1, 1], and t in [0, 1]; the velocity is
d x_t / d t (Lipman et al. 2023; Albergo and Vanden-Eijnden 2023). Rectified flow (Liu et al. 2022, eq. 1) has a = t.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from data_pipelines.contract.row_draws import TorchDraws
from trainables.workloads.flow_matching.path_config import (
    AnyPath,
    AnyTimes,
    LogitNormalTimes,
    Straight,
    VariancePreserving,
)

_LAST = 1 - 1e-5
"""Last time of the variance-preserving path (Lipman et al. 2023, appendix), whose velocity has no bound at t = 1."""


@dataclass(frozen=True)
class PathSample:
    """One point of the path for each sample of a batch."""

    t: Float[Tensor, " batch"]
    x_t: Float[Tensor, "batch channels height width"]
    velocity: Float[Tensor, "batch channels height width"]
    """The regression target v = d x_t / d t."""


class Coefficients(NamedTuple):
    """Weights of image and noise, and their derivatives by time."""

    image: Tensor
    noise: Tensor
    image_change: Tensor | float
    noise_change: Tensor | float


def sample_path(
    x_0: Float[Tensor, "batch channels height width"],
    x_1: Float[Tensor, "batch channels height width"],
    *,
    path: AnyPath,
    times: AnyTimes,
    draws: TorchDraws,
) -> PathSample:
    """Return a point at a random time for each sample; `draws` are on the device of `x_0`."""
    return path_at(x_0, x_1, draw_times(times, draws).to(x_0.dtype), path)


def draw_times(times: AnyTimes, draws: TorchDraws) -> Float[Tensor, " batch"]:
    """Draw a time in 0..1 for each row."""
    if isinstance(times, LogitNormalTimes):
        return torch.sigmoid(times.mean + times.std * draws.normal())  # Esser et al. 2024, eq. 19
    return draws.uniform()


def path_at(
    x_0: Float[Tensor, "batch channels height width"],
    x_1: Float[Tensor, "batch channels height width"],
    t: Float[Tensor, " batch"],
    path: AnyPath,
) -> PathSample:
    """Return the point of the path at time `t`."""
    if isinstance(path, VariancePreserving):
        t = t.clamp(max=_LAST)
    weights = coefficients(path, t.view(-1, 1, 1, 1))
    return PathSample(
        t=t,
        x_t=weights.noise * x_0 + weights.image * x_1,
        velocity=weights.image_change * x_1 + weights.noise_change * x_0,
    )


def coefficients(path: AnyPath, t: Float[Tensor, "..."]) -> Coefficients:
    """Return a, b, da/dt and db/dt of a path."""
    if isinstance(path, Straight):
        slope = 1 - path.sigma_min
        return Coefficients(image=t, noise=1 - slope * t, image_change=1.0, noise_change=-slope)
    if isinstance(path, VariancePreserving):
        s = 1 - t  # time of the diffusion, from images to noise
        growth = path.beta_max - path.beta_min
        integral = path.beta_min * s + growth * s.square() / 2
        image, noise = (-integral / 2).exp(), (-torch.expm1(-integral)).sqrt()
        change = image * (path.beta_min + growth * s) / 2
        return Coefficients(image, noise, change, -image * change / noise)
    angle = math.pi / 2 * t
    return Coefficients(angle.sin(), angle.cos(), math.pi / 2 * angle.cos(), -math.pi / 2 * angle.sin())


def drop_labels(
    label: Int[Tensor, " batch"], null_label: int, ratio: float, *, draws: TorchDraws
) -> Int[Tensor, " batch"]:
    """Replace each label by the null class with probability `ratio` (Ho & Salimans 2022, algorithm 1)."""
    is_dropped = draws.uniform() < ratio
    return label.masked_fill(is_dropped, null_label)


def pair_optimally(x_0: Float[Tensor, "batch ..."], x_1: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
    """Reorder `x_0` so that sum |x_0 - x_1|^2 is the least over all pairings of this batch; labels stay with `x_1`.

    This is minibatch OT-CFM (Tong et al. 2023, section 3.2). Between two sets of equal size and uniform weights an
    exact optimal plan is a permutation (Birkhoff), which the assignment solver finds. The reference code draws pairs
    from the plan with replacement; a permutation needs no draw, and uses every image and every noise once. Call it for
    each new batch: a pairing kept over epochs would tie an image to one noise. Each rank pairs its own micro-batch. The
    assignment is solved on the CPU, so an accelerator waits for it once per batch.
    """
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, and the squares add up to the same sum in every permutation.
    similarity = x_1.flatten(1).double() @ x_0.flatten(1).double().T
    _, chosen = linear_sum_assignment(similarity.cpu().numpy(), maximize=True)
    return x_0[torch.from_numpy(chosen).to(x_0.device)]

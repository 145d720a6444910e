"""The straight probability path between noise and data, along which the velocity is trained.

Rectified flow (Liu et al. 2022, eq. 1), where x_0 ~ N(0, I) is the noise, x_1 an image in [-1, 1], and t in [0, 1].
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from data_pipelines.contract.row_draws import TorchDraws


@dataclass(frozen=True)
class PathSample:
    """One point of the path for each sample of a batch."""

    t: Float[Tensor, " batch"]
    x_t: Float[Tensor, "batch channels height width"]
    velocity: Float[Tensor, "batch channels height width"]
    """The regression target v = d x_t / d t."""


def sample_path(
    x_0: Float[Tensor, "batch channels height width"],
    x_1: Float[Tensor, "batch channels height width"],
    *,
    draws: TorchDraws,
) -> PathSample:
    """Return a point at a time drawn uniformly for each sample; `draws` are on the device of `x_0`."""
    t = draws.uniform().to(x_0.dtype)
    return path_at(x_0, x_1, t)


def path_at(
    x_0: Float[Tensor, "batch channels height width"],
    x_1: Float[Tensor, "batch channels height width"],
    t: Float[Tensor, " batch"],
) -> PathSample:
    """Return the point of the path at time `t`."""
    time = t.view(-1, 1, 1, 1)
    return PathSample(t=t, x_t=(1 - time) * x_0 + time * x_1, velocity=x_1 - x_0)  # Liu et al. 2022, eq. 1


def drop_labels(
    label: Int[Tensor, " batch"], null_label: int, ratio: float, *, draws: TorchDraws
) -> Int[Tensor, " batch"]:
    """Replace each label by the null class with probability `ratio` (Ho & Salimans 2022, algorithm 1)."""
    is_dropped = draws.uniform() < ratio
    return label.masked_fill(is_dropped, null_label)

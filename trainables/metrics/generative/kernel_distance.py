"""The kernel distance behind KID (Binkowski et al. 2018), a squared maximum mean discrepancy."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

NUM_SUBSETS, SUBSET_SIZE = 100, 1000
"""As published."""


@dataclass(frozen=True)
class KernelDistance:
    """Mean and spread over random subsets; near 0 for two sets of one distribution, and then also below it."""

    mean: float
    std: float
    """Population standard deviation over the subsets."""


def compute_kernel_distance(
    first: Float[Tensor, "rows dim"],
    second: Float[Tensor, "others dim"],
    *,
    generator: torch.Generator,
    num_subsets: int = NUM_SUBSETS,
    subset_size: int = SUBSET_SIZE,
) -> KernelDistance:
    """Compute the unbiased squared discrepancy with the kernel (x y / dim + 1)^3, as a mean over random subsets.

    Binkowski et al. 2018, section 4 and eq. 4. It has no bias from the number of rows, as the Frechet distance has.
    Each set has at least four rows. The generator, on the CPU, chooses `num_subsets` subsets of each with `subset_size`
    rows, without repetition; at most half of a set, so that subsets differ.

    Raises:
        ValueError: A set has fewer than four rows.
    """
    fewest = min(len(first), len(second))
    if fewest < 4:
        raise ValueError(f"the kernel distance needs at least 4 rows of each set, and one has {fewest}")
    size = min(subset_size, fewest // 2)
    distances: list[Tensor] = []
    for _ in range(num_subsets):
        x, y = (rows[torch.randperm(len(rows), generator=generator)[:size]].double() for rows in (first, second))
        distances.append(_squared_discrepancy(x, y))
    found = torch.stack(distances)
    return KernelDistance(mean=float(found.mean()), std=float(found.std(correction=0)))


def _squared_discrepancy(x: Float[Tensor, "rows dim"], y: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """Compute the mean kernel within each set, without each row with itself, less twice that between the sets."""
    count = len(x)
    within = sum((kernel.sum() - kernel.trace()) / (count * (count - 1)) for kernel in (_kernel(x, x), _kernel(y, y)))
    return within - 2 * _kernel(x, y).mean()


def _kernel(x: Tensor, y: Tensor) -> Float[Tensor, "rows others"]:
    return (x @ y.T / x.shape[1] + 1).pow(3)

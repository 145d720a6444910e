"""Noise of single samples, each from a random stream of its own, so that no sample depends on the others."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.contract.seeding import seeded_generator


def draw_noise(purpose: str, indices: Sequence[int], *, seed: int, shape: tuple[int, ...]) -> Float[Tensor, "rows ..."]:
    """Draw standard normal noise for samples, on the CPU.

    Args:
        purpose: What the samples are for; other purposes have other noise.
        indices: Numbers of the samples.
        seed: Seed of all samples.
        shape: Shape of a sample.
    """
    return torch.stack([torch.randn(*shape, generator=seeded_generator(seed, purpose, index)) for index in indices])

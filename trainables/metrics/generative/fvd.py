"""Frechet video distance (Unterthiner et al. 2018) between true and predicted clips, in a network's features."""

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from trainables.metrics.generative.frechet import RunningMoments, compute_frechet_distance

Clips = UInt8[Tensor, "batch time channels height width"]


class ClipFeatures(Protocol):
    """Feature network that gives one vector for each clip."""

    feature_dim: int

    def __call__(self, clips: Clips) -> Float[Tensor, "batch features"]:
        """Return features of clips of any size; grey ones have one channel."""
        ...


class ClipDistances:
    """Collector of true clips and, by the name of each source, of generated clips."""

    def __init__(self, features: ClipFeatures, sources: tuple[str, ...], device: torch.device) -> None:
        self._features = features
        self._true = RunningMoments(features.feature_dim, device)
        self._made = {name: RunningMoments(features.feature_dim, device) for name in sources}

    def add(self, true: Clips, **made: Clips) -> None:
        """Add true clips, and as many clips of each source."""
        self._true.add(self._features(true))
        for name, clips in made.items():
            self._made[name].add(self._features(clips))

    def compute(self, sum_over_ranks: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Compute the distance of each source, and `clips`, their number; all ranks call it.

        Few clips bias the distance upwards, so distances of different numbers of clips cannot be compared.
        """
        true = self._true.over_ranks(sum_over_ranks)
        made = {name: moments.over_ranks(sum_over_ranks) for name, moments in self._made.items()}
        if true.count < 2:
            raise ValueError(f"FVD needs at least 2 clips, but {int(true.count)} was evaluated; leave its weights out")
        real = true.gaussian()
        distances = {name: compute_frechet_distance(moments.gaussian(), real) for name, moments in made.items()}
        return {**distances, "clips": int(true.count)}

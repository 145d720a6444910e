"""Scoring of generated images by their features, in chunks that do not depend on the number of ranks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from trainables.contract.train_context import Collectives
from trainables.metrics.generative.frechet import Gaussian, RunningMoments, compute_frechet_distance
from trainables.metrics.generative.inception_score import compute_inception_score

NUM_SPLITS = 10
"""Splits of the inception score, as published."""


@dataclass(frozen=True)
class Extractor:
    """A feature network on its device, in eval mode."""

    name: str
    """`local`, or `inception` for the published features."""
    feature_dim: int
    num_classes: int
    forward: Callable[[Tensor], tuple[Tensor, Tensor]]
    """uint8 images to features and logits."""


@dataclass(frozen=True)
class Scores:
    """Scores of one set of images."""

    fid: float
    inception_score_mean: float
    inception_score_std: float


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples that are generated together; the index seeds their noise."""

    index: int
    start: int
    stop: int


def deal_chunks(num_samples: int, chunk_size: int, collectives: Collectives) -> Iterator[Chunk]:
    """Yield this rank's chunks, every world_size-th; together the ranks' chunks hold each sample once."""
    for index, start in enumerate(range(0, num_samples, chunk_size)):
        if index % collectives.world_size == collectives.rank:
            yield Chunk(index, start, min(start + chunk_size, num_samples))


class Scorer:
    """Collector of the features of generated images; `compute` is a collective."""

    def __init__(self, extractor: Extractor, collectives: Collectives, device: torch.device) -> None:
        self._extractor = extractor
        self._collectives = collectives
        self._device = device
        self._moments = RunningMoments(extractor.feature_dim, device)
        self._logits = [torch.zeros(0, extractor.num_classes, device=device)]
        self._positions = [torch.zeros(0, dtype=torch.int64, device=device)]

    def add(self, images: UInt8[Tensor, "batch channels height width"], chunk: Chunk) -> None:
        """Add the images of one chunk."""
        features, logits = self._extractor.forward(images.to(self._device))
        self._moments.add(features)
        self._logits.append(logits.float())
        self._positions.append(torch.arange(chunk.start, chunk.stop, device=self._device))

    def compute(self, real: Gaussian) -> Scores:
        """Compute scores over all ranks' images, equal for every number of ranks up to the order of float64 sums.

        The logits are put into the order of the samples, as the splits of the inception score depend on it.
        """
        moments = self._moments.over_ranks(self._collectives.sum)
        logits = self._collectives.gather(torch.cat(self._logits))
        positions = self._collectives.gather(torch.cat(self._positions))
        inception = compute_inception_score(logits[positions.argsort()], min(NUM_SPLITS, len(logits)))
        return Scores(
            fid=compute_frechet_distance(moments.gaussian(), real),
            inception_score_mean=inception.mean,
            inception_score_std=inception.std,
        )

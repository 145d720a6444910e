"""Features of real images, for scores that need more than their moments, and the same scores between two halves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.contract.train_context import StartContext
from trainables.metrics.generative.frechet import RunningMoments, compute_frechet_distance
from trainables.workloads.flow_matching.pixels import to_uint8
from trainables.workloads.flow_matching.reference.reservoir import RowSampler, hash_content
from trainables.workloads.flow_matching.reference.scoring import Comparison, Extractor, compare_rows

MAX_ROWS = 10_000
"""Real images, and generated ones, of which the features are kept."""
_HALF_BIT = 32
"""Bit of the hash that tells the half; the smallest hashes are alike in the first ones."""


@dataclass(frozen=True)
class Halves:
    """Scores of one random half of the training images against the other: those of a perfect generator."""

    fid: float
    kid: float
    kid_std: float
    precision: float
    recall: float


@dataclass(frozen=True)
class RealFeatures:
    """Features of at most `MAX_ROWS` training images, on the CPU, and the scores of halves of the training split."""

    rows: Float[Tensor, "rows dim"]
    halves: Halves

    def state_dict(self) -> dict[str, Any]:
        """Return plain data and a tensor."""
        return {"rows": self.rows, "halves": asdict(self.halves)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """Build from `state_dict`."""
        return cls(rows=state["rows"], halves=Halves(**state["halves"]))


def measure_real_features(extractor: Extractor, start: StartContext) -> RealFeatures:
    """Read the training split once, each row once over all ranks; a collective.

    Which rows are kept, and the half of each, follow from the content of the image, not from its place.
    """
    moments = [RunningMoments(extractor.feature_dim, start.device) for _ in range(2)]
    sampler = RowSampler(torch.zeros(0, extractor.feature_dim, device=start.device), size=MAX_ROWS)
    for batch in start.batches("train"):
        images = to_uint8(batch["image"])
        features = extractor.forward(images)[0].float()
        hashes = hash_content(images, batch["label"])
        for half, sums in enumerate(moments):
            sums.add(features[_half_of(hashes) == half])
        sampler.add(hashes, features)
    first, second = (sums.over_ranks(start.collectives.sum).gaussian() for sums in moments)
    hashes, rows = sampler.gather(start.collectives)
    compared: Comparison = compare_rows(rows[_half_of(hashes) == 0], rows[_half_of(hashes) == 1])
    halves = Halves(fid=compute_frechet_distance(first, second), **asdict(compared))
    return RealFeatures(rows.cpu(), halves)


def _half_of(hashes: Tensor) -> Tensor:
    return hashes.bitwise_right_shift(_HALF_BIT) & 1

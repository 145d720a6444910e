"""Features of real images, for scores that need more than their moments, and the same scores between two halves."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.contract.train_context import StartContext
from trainables.metrics.generative.frechet import RunningMoments, compute_frechet_distance
from trainables.workloads.flow_matching.pixels import to_uint8
from trainables.workloads.flow_matching.reference.reservoir import RowSampler, hash_content
from trainables.workloads.flow_matching.reference.scoring import Extractor, Halves, compare_rows

MAX_ROWS = 10_000
"""Real images, and generated ones, of which the features are kept."""


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
    """Read the training split twice, each row once over all ranks; a collective.

    Which rows are kept, and the half of each, follow from the content of the image, not from its place.
    """
    half_of = _divide(start)
    moments = [RunningMoments(extractor.feature_dim, start.device) for _ in range(2)]
    sampler = RowSampler(torch.zeros(0, extractor.feature_dim, device=start.device), size=MAX_ROWS)
    for batch in start.batches("train"):
        images = to_uint8(batch["image"])
        features = extractor.forward(images)[0].float()
        hashes = hash_content(images, batch["label"])
        for half, sums in enumerate(moments):
            sums.add(features[half_of(hashes) == half])
        sampler.add(hashes, features)
    first, second = (sums.over_ranks(start.collectives.sum).gaussian() for sums in moments)
    hashes, rows = sampler.gather(start.collectives)
    compared = compare_rows(*(rows[half_of(hashes) == half] for half in range(2)))
    return RealFeatures(rows.cpu(), Halves(compute_frechet_distance(first, second), **compared))


def _divide(start: StartContext) -> Callable[[Tensor], Tensor]:
    """Return a function from hashes to halves, 0 or 1: within a class the halves take turns in the order of the hash.

    Halves with other shares of the classes would differ by these.
    """
    nothing = torch.zeros(0, dtype=torch.int64, device=start.device)
    hashes, labels = [nothing], [nothing]
    for batch in start.batches("train"):
        hashes.append(hash_content(to_uint8(batch["image"]), batch["label"]))
        labels.append(batch["label"].long())
    all_hashes, all_labels = (start.collectives.gather(torch.cat(parts)) for parts in (hashes, labels))
    known, order = all_hashes.sort()
    halves = torch.zeros_like(known)
    for label in all_labels.unique().tolist():
        places = (all_labels[order] == label).nonzero().flatten()
        halves[places] = (torch.arange(len(places), device=places.device) + label) % 2
    return lambda chosen: halves[torch.searchsorted(known, chosen)]

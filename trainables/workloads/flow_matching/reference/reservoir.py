"""Random sample of the training rows, independent of their order and of their distribution over ranks."""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Int64, UInt8
from torch import Tensor

from trainables.contract.seeding import seeded_generator
from trainables.contract.train_context import Collectives
from trainables.workloads.flow_matching.reference.features import shrink

SUBSET_SIZE = 10_000


@dataclass(frozen=True)
class Subset:
    """Shrunk training rows, each with a hash of its content."""

    images: UInt8[Tensor, "rows channels height width"]
    labels: Int[Tensor, " rows"]
    hashes: Int64[Tensor, " rows"]


class SubsetSampler:
    """Sampler of the rows with the smallest hash of their content, in the order of the hash."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device, *, size: int = SUBSET_SIZE) -> None:
        no_labels = torch.zeros(0, dtype=torch.int64, device=device)
        no_images = shrink(torch.zeros(1, *shape, dtype=torch.uint8, device=device))[:0]
        self._size = size
        self._parts = [Subset(no_images, no_labels, no_labels)]

    def add(self, images: UInt8[Tensor, "batch channels height width"], labels: Int[Tensor, " batch"]) -> None:
        """Offer rows; memory stays below twice the size of the sample."""
        small = shrink(images)
        self._parts.append(Subset(small, labels, _hash(small, labels)))
        if sum(len(part.labels) for part in self._parts) >= 2 * self._size:
            self._parts = [_smallest(self._parts, self._size)]

    def gather(self, collectives: Collectives) -> Subset:
        """Return the sample of all ranks' rows, the same on every rank; a collective."""
        mine = _smallest(self._parts, self._size)
        images, labels, hashes = (collectives.gather(rows) for rows in (mine.images, mine.labels, mine.hashes))
        return _smallest([Subset(images, labels, hashes)], self._size)


def _hash(images: Tensor, labels: Tensor) -> Tensor:
    """Hash pixels and label by a random linear form, modulo 2^64."""
    content = torch.cat([images.flatten(1).long(), labels[:, None].long()], dim=1)
    weights = torch.randint(-(2**62), 2**62, content.shape[1:], generator=seeded_generator(0, "content hash"))
    return (content * weights.to(content.device)).sum(dim=1)


def _smallest(parts: list[Subset], size: int) -> Subset:
    images, labels, hashes = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels", "hashes")
    )
    order = hashes.argsort()[:size]
    return Subset(images[order], labels[order], hashes[order])

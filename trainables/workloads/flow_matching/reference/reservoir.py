"""Random sample of the training rows, independent of their order and of their distribution over ranks."""

from collections.abc import Sequence
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


class RowSampler:
    """Sampler of the rows with the smallest hashes, in the order of the hash."""

    def __init__(self, *empty: Tensor, size: int) -> None:
        """Begin with the columns of no rows, such as zeros(0, dim), on the device of the rows."""
        self._size = size
        self._parts = [(torch.zeros(0, dtype=torch.int64, device=empty[0].device), *empty)]

    def add(self, hashes: Int64[Tensor, " rows"], *columns: Tensor) -> None:
        """Offer rows; memory stays below twice the size of the sample."""
        self._parts.append((hashes, *columns))
        if sum(len(part[0]) for part in self._parts) >= 2 * self._size:
            self._parts = [_smallest(self._parts, self._size)]

    def gather(self, collectives: Collectives) -> tuple[Tensor, ...]:
        """Return hashes and columns of the sample of all ranks' rows, the same on every rank; a collective."""
        mine = _smallest(self._parts, self._size)
        return _smallest([tuple(collectives.gather(column) for column in mine)], self._size)


class SubsetSampler:
    """Sampler of shrunk images by the hash of their content."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device, *, size: int = SUBSET_SIZE) -> None:
        no_labels = torch.zeros(0, dtype=torch.int64, device=device)
        self._rows = RowSampler(
            shrink(torch.zeros(1, *shape, dtype=torch.uint8, device=device))[:0], no_labels, size=size
        )

    def add(self, images: UInt8[Tensor, "batch channels height width"], labels: Int[Tensor, " batch"]) -> None:
        """Offer rows."""
        small = shrink(images)
        self._rows.add(hash_content(small, labels), small, labels)

    def gather(self, collectives: Collectives) -> Subset:
        """Return the sample of all ranks' rows, the same on every rank; a collective."""
        hashes, images, labels = self._rows.gather(collectives)
        return Subset(images, labels, hashes)


def hash_content(
    images: UInt8[Tensor, "rows channels height width"], labels: Int[Tensor, " rows"]
) -> Int64[Tensor, " rows"]:
    """Hash pixels and label by a random linear form, modulo 2^64."""
    content = torch.cat([images.flatten(1).long(), labels[:, None].long()], dim=1)
    weights = torch.randint(-(2**62), 2**62, content.shape[1:], generator=seeded_generator(0, "content hash"))
    return (content * weights.to(content.device)).sum(dim=1)


def _smallest(parts: Sequence[tuple[Tensor, ...]], size: int) -> tuple[Tensor, ...]:
    columns = [torch.cat(each) for each in zip(*parts, strict=True)]
    order = columns[0].argsort()[:size]
    return tuple(column[order] for column in columns)

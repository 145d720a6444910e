"""Class labels of the samples of an evaluation, and which samples are shown."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from trainables.contract.seeding import seeded_generator

MAX_ROWS, MAX_COLUMNS = 10, 8
"""Most classes that are shown, and most samples of each."""


def choose_labels(num_samples: int, class_ratios: Sequence[float], seed: int) -> Int64[Tensor, " samples"]:
    """Return labels with the class frequencies of the training split, in a random order fixed by `seed`.

    The Frechet distance and the inception score compare mixtures over all classes, so another mixture than the real
    one would count against a perfect generator. Counts are exact up to rounding (largest remainder).
    """
    wanted = torch.tensor(class_ratios, dtype=torch.float64) * num_samples
    counts = wanted.floor().long()
    num_missing = num_samples - int(counts.sum())
    counts[(counts - wanted).argsort(stable=True)[:num_missing]] += 1
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    return labels[torch.randperm(num_samples, generator=seeded_generator(seed, "evaluation labels"))]


def choose_shown(labels: Int64[Tensor, " samples"]) -> Int64[Tensor, " shown"]:
    """Return the numbers of the first samples of each class, as many of each, class by class."""
    classes = labels.unique(sorted=True)[:MAX_ROWS]
    places = [(labels == each).nonzero().flatten() for each in classes]
    columns = min(MAX_COLUMNS, min(len(each) for each in places))
    return torch.cat([each[:columns] for each in places])

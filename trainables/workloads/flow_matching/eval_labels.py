"""Class labels of the samples of an evaluation."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from trainables.contract.seeding import seeded_generator


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

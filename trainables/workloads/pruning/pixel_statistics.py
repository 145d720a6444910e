"""Statistics of the training set before the first step: mean and deviation of its pixels, and its largest class."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from trainables.contract.train_context import Collectives


@dataclass(frozen=True)
class PixelStatistics:
    """Statistics of a training set; pixel values from 0 to 1."""

    mean: tuple[float, ...]
    """Mean of each channel."""
    std: tuple[float, ...]
    majority: int
    """The most frequent class; the first of several."""


def measure_pixels(
    batches: Iterable[Mapping[str, Any]],
    *,
    channels: int,
    num_classes: int,
    collectives: Collectives,
    device: torch.device,
) -> PixelStatistics:
    """Measure the statistics of all ranks' batches; a collective.

    Sums are of whole numbers, so the result does not depend on batches and ranks. The batches are those of this rank.
    """
    sums = torch.zeros(2, channels, dtype=torch.int64, device=device)
    counts = torch.zeros(num_classes + 1, dtype=torch.int64, device=device)
    for batch in batches:
        pixels = batch["image"].long().movedim(1, 0).flatten(1)
        sums += torch.stack([pixels.sum(dim=1), pixels.square().sum(dim=1)])
        counts[:-1] += torch.bincount(batch["label"], minlength=num_classes)
        counts[-1] += pixels.shape[1]
    first, second = collectives.sum(sums).double().cpu() / 255 ** torch.tensor([[1.0], [2.0]]).double()
    classes = collectives.sum(counts).cpu()
    mean = first / classes[-1]
    std = (second / classes[-1] - mean.square()).clamp_min(0).sqrt()
    return PixelStatistics(tuple(mean.tolist()), tuple(std.tolist()), int(classes[:-1].argmax()))

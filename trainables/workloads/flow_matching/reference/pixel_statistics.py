"""Mean and deviation of each pixel of the training split, from which the trivial generator draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int, Int64, UInt8
from torch import Tensor

from trainables.contract.train_context import Collectives


@dataclass(frozen=True)
class PixelMoments:
    """Statistics of the complete training split, on the CPU."""

    mean: Float[Tensor, "channels height width"]
    """0 to 255."""
    std: Float[Tensor, "channels height width"]
    """Population standard deviation, in the same unit."""
    class_counts: Int64[Tensor, " classes"]

    def sample(
        self, noise: Float[Tensor, "batch channels height width"]
    ) -> UInt8[Tensor, "batch channels height width"]:
        """Turn standard normal noise into images of the trivial generator: independent pixels, clamped and rounded."""
        return (self.mean + self.std * noise).clamp(0, 255).round().to(torch.uint8)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the three tensors."""
        return {"mean": self.mean, "std": self.std, "class_counts": self.class_counts}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> Self:
        """Build from `state_dict`."""
        return cls(mean=state["mean"], std=state["std"], class_counts=state["class_counts"])


class PixelSums:
    """Sums over one rank's share of the split, in float64."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int, device: torch.device) -> None:
        self._count = torch.zeros((), dtype=torch.float64, device=device)
        self._sum = torch.zeros(shape, dtype=torch.float64, device=device)
        self._squares = torch.zeros(shape, dtype=torch.float64, device=device)
        self._class_counts = torch.zeros(num_classes, dtype=torch.int64, device=device)

    def add(self, images: UInt8[Tensor, "batch channels height width"], labels: Int[Tensor, " batch"]) -> None:
        """Add each row once."""
        values = images.double()
        self._count += len(images)
        self._sum += values.sum(dim=0)
        self._squares += values.square().sum(dim=0)
        self._class_counts += (labels[:, None] == torch.arange(len(self._class_counts), device=labels.device)).sum(0)

    def over_ranks(self, collectives: Collectives) -> PixelMoments:
        """Return the statistics of all ranks' rows; a collective."""
        count = collectives.sum(self._count)
        mean = collectives.sum(self._sum) / count
        variance = (collectives.sum(self._squares) / count - mean.square()).clamp(min=0)
        class_counts = collectives.sum(self._class_counts)
        return PixelMoments(mean.float().cpu(), variance.sqrt().float().cpu(), class_counts.cpu())

"""Normalisation of pixels inside the network, so that a saved network takes raw images."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

ChannelStatistics = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each channel, for values from 0 to 1."""
IMAGENET: ChannelStatistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NAMED: dict[str, ChannelStatistics] = {"imagenet": IMAGENET, "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))}
"""What `workload.normalisation` may name beside the data set's own."""
PUBLISHED: dict[str, ChannelStatistics] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
}
"""Those of the training sets."""


class Normalize(nn.Module):
    """Layer that computes (x - mean) / std for each channel, with x from 0 to 1."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def set(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set mean and deviation. Raises ValueError when the number of channels differs or a channel does not vary."""
        if not len(mean) == len(std) == len(self.mean):
            raise ValueError(f"normalisation of {len(mean)} channels given for images of {len(self.mean)}")
        if min(std) <= 0:
            raise ValueError(f"the standard deviations {tuple(std)} must be above 0; is a channel constant?")
        self.mean.copy_(torch.tensor(mean))
        self.std.copy_(torch.tensor(std))

    def forward(self, images: Tensor) -> Float[Tensor, "batch channels height width"]:
        """Normalise uint8 images, or floating ones with values from 0 to 1."""
        scaled = images if images.is_floating_point() else images.float() / 255
        return (scaled - self.mean[:, None, None]) / self.std[:, None, None]

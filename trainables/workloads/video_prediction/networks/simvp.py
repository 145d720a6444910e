"""SimVP-like network (Gao et al. 2022): a convolutional network that regresses all future frames at once."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.workloads.video_prediction.network_config import ConvolutionalBaseline

_GROUPS = 4


class SimVP(nn.Module):
    """Network that encodes and decodes each frame alone, with a translator that mixes the past frames in time between.

    The finest features of the last past frame skip the translator. The output is the change from that frame.
    """

    def __init__(self, config: ConvolutionalBaseline, *, channels: int, num_past: int, num_future: int) -> None:
        super().__init__()
        width = config.channels
        self.num_future = num_future
        self.stem = _convolve(channels, width)
        self.shrink = nn.Sequential(*[_convolve(width, width, stride=2) for _ in range(config.num_downsamplings)])
        self.enter = nn.Conv2d(num_past * width, config.hidden_channels, 1)
        self.translate = nn.Sequential(*[TranslatorBlock(config.hidden_channels) for _ in range(config.num_blocks)])
        self.leave = nn.Conv2d(config.hidden_channels, num_future * width, 1)
        self.grow = nn.Sequential(
            *[nn.Sequential(_convolve(width, 4 * width), nn.PixelShuffle(2)) for _ in range(config.num_downsamplings)]
        )
        self.head = nn.Sequential(_convolve(2 * width, width), nn.Conv2d(width, channels, 1))

    def forward(
        self, past: Float[Tensor, "batch past channels height width"]
    ) -> Float[Tensor, "batch future channels height width"]:
        """Return all future frames."""
        batch, num_past = past.shape[:2]
        fine = self.stem(past.flatten(0, 1))
        coarse = self.shrink(fine).unflatten(0, (batch, num_past)).flatten(1, 2)
        mixed = self.leave(self.translate(self.enter(coarse)))
        future = self.grow(mixed.unflatten(1, (self.num_future, -1)).flatten(0, 1))
        skip = fine.unflatten(0, (batch, num_past))[:, -1].repeat_interleave(self.num_future, dim=0)
        change = self.head(torch.cat([future, skip], dim=1)).unflatten(0, (batch, self.num_future))
        return past[:, -1:] + change


class TranslatorBlock(nn.Module):
    """A 7x7 convolution of each channel alone, then two 1x1 convolutions of all channels; added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            nn.GroupNorm(1, channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(
        self, maps: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return maps of the same shape."""
        return maps + self.layers(maps)


def _convolve(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
    return nn.Sequential(convolution, nn.GroupNorm(_GROUPS, out_channels), nn.SiLU())

"""EDSR, enhanced deep residual network (Lim et al. 2017); with several scales, MDSR's sharing of the body."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from trainables.workloads.super_resolution import network_config
from trainables.workloads.super_resolution.networks.mean_shift import MeanShift
from trainables.workloads.super_resolution.networks.upsampling import (
    SubPixelUpsampler,
    choose_scale,
    upsample_bicubic,
    zero_gradient_dependency,
)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between, without batch norm, scaled and added to the input."""

    def __init__(self, channels: int, residual_scaling: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), nn.ReLU(inplace=True), _conv(channels, channels))
        self.residual_scaling = residual_scaling

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Compute x + scaling * body(x)."""
        return x + self.residual_scaling * self.body(x)


class EdsrNetwork(nn.Module):
    """Head, body of residual blocks, and a tail for each scale."""

    def __init__(self, config: network_config.Edsr, scales: Sequence[int]) -> None:
        super().__init__()
        channels = config.num_channels
        self.rgb_range, self.has_bicubic_skip = float(config.rgb_range), config.has_bicubic_skip
        self.sub_mean = MeanShift(config.rgb_mean, sign=-1, rgb_range=self.rgb_range)
        self.add_mean = MeanShift(config.rgb_mean, sign=1, rgb_range=self.rgb_range)
        blocks = [ResidualBlock(channels, config.residual_scaling) for _ in range(config.num_blocks)]
        self.head = _conv(3, channels)
        self.body = nn.Sequential(*blocks, _conv(channels, channels))
        self.tails = nn.ModuleDict(
            {str(scale): nn.Sequential(SubPixelUpsampler(scale, channels), _conv(channels, 3)) for scale in scales}
        )

    def forward(
        self, image: Float[Tensor, "batch 3 height width"], scale: int | None = None
    ) -> Float[Tensor, "batch 3 scaled_height scaled_width"]:
        """Enlarge images in 0..1 by `scale`, by default the first."""
        scale = choose_scale(scale, self.tails)
        shifted = self.sub_mean(image * self.rgb_range)
        features = self.head(shifted)
        enlarged = self.tails[str(scale)](features + self.body(features))
        if self.has_bicubic_skip:
            enlarged = enlarged + upsample_bicubic(shifted, scale)
        enlarged = self.add_mean(enlarged) / self.rgb_range
        for other, tail in self.tails.items():
            if other != str(scale):
                enlarged = zero_gradient_dependency(tail, enlarged)
        return enlarged


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)

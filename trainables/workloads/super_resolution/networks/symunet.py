"""SymUNet: Restormer blocks in a symmetric U-Net, before or after upsampling."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from trainables.workloads.super_resolution import network_config
from trainables.workloads.super_resolution.networks.padding import crop, pad_to_multiple
from trainables.workloads.super_resolution.networks.restormer import TransformerBlock
from trainables.workloads.super_resolution.networks.upsampling import (
    choose_scale,
    upsample_bicubic,
    zero_gradient_dependency,
)

_Features = Float[Tensor, "batch channels height width"]


class UNet(nn.Module):
    """U-Net from `width` channels to `width` channels; every level halves the sides and doubles the channels.

    Skips are added, not concatenated. Sides must be multiples of 2^levels.
    """

    def __init__(self, config: network_config.SymUNet) -> None:
        super().__init__()
        levels = len(config.encoder_blocks)
        widths = [config.width * 2**level for level in range(levels + 1)]

        def stage(level: int, num_blocks: int, num_heads: int) -> nn.Sequential:
            return nn.Sequential(
                *(TransformerBlock(widths[level], num_heads, config.expansion) for _ in range(num_blocks))
            )

        downward, upward = range(levels), range(levels - 1, -1, -1)
        self.encoders = nn.ModuleList(
            stage(level, config.encoder_blocks[level], config.encoder_heads[level]) for level in downward
        )
        self.downs = nn.ModuleList(_down(widths[level]) for level in downward)
        self.middle = stage(levels, config.middle_blocks, config.middle_heads)
        self.ups = nn.ModuleList(_up(widths[level + 1]) for level in upward)
        self.decoders = nn.ModuleList(
            stage(level, num_blocks, config.encoder_heads[level])
            for level, num_blocks in zip(upward, config.decoder_blocks, strict=True)
        )

    def forward(self, x: _Features) -> _Features:
        """Return features of the same shape."""
        skips: list[Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(x))
            x = down(skips[-1])
        x = self.middle(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        return x


class SymUNetNetwork(nn.Module):
    """The U-Net between two convolutions, on the enlarged image (pre) or on the small one (post).

    Its output is added to the bicubic image. There is no shift of the mean.
    """

    def __init__(self, config: network_config.SymUNet, scales: Sequence[int]) -> None:
        super().__init__()
        self.scales, self.is_post = list(scales), config.upsampling == "post"
        self.multiple = 4 * 2 ** len(config.encoder_blocks)
        self.head = nn.Conv2d(3, config.width, 3, padding=1)
        self.unet = UNet(config)
        if self.is_post:
            self.tails = nn.ModuleDict({str(scale): _post_tail(config.width, scale) for scale in scales})
        else:
            self.tail = nn.Conv2d(config.width, 3, 3, padding=1)

    def forward(
        self, image: Float[Tensor, "batch 3 height width"], scale: int | None = None
    ) -> Float[Tensor, "batch 3 scaled_height scaled_width"]:
        """Enlarge images in 0..1 by `scale`, by default the first."""
        scale = choose_scale(scale, self.scales)
        enlarged = upsample_bicubic(image, scale)
        padded = pad_to_multiple(image if self.is_post else enlarged, self.multiple)
        residual = self._tail(self.unet(self.head(padded)), scale)
        return enlarged + crop(residual, *enlarged.shape[-2:])

    def _tail(self, features: Tensor, scale: int) -> Tensor:
        if not self.is_post:
            return self.tail(features)
        residual = self.tails[str(scale)](features)
        for other, tail in self.tails.items():
            if other != str(scale):
                residual = zero_gradient_dependency(tail, residual)
        return residual


def _down(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


def _up(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False), nn.PixelShuffle(2))


def _post_tail(width: int, scale: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

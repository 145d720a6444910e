"""The U-Net that predicts the velocity at (x_t, t) for a class label."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from trainables.workloads.flow_matching.config import Network

TIME_SCALE = 1000.0
"""t in [0, 1] times this spans the range that the sinusoid's frequencies were made for (Vaswani et al. 2017)."""


class VelocityNetwork(nn.Module):
    """A U-Net with one skip connection per level and attention at the lowest; the last label is the null class.

    The output convolution starts at zero, so an untrained network predicts the velocity 0.
    """

    def __init__(self, settings: Network, *, channels: int, num_classes: int) -> None:
        super().__init__()
        base, num_blocks = settings.base_channels, settings.num_res_blocks
        widths = [base * multiplier for multiplier in settings.channel_multipliers]
        self.null_label = num_classes
        self.num_levels = len(widths)
        self.embedding = ConditionEmbedding(base, num_classes)
        self.conv_in = nn.Conv2d(channels, base, 3, padding=1)
        self.down_levels = nn.ModuleList(
            _level(settings, in_channels, width, num_blocks)
            for in_channels, width in zip([base, *widths[:-1]], widths, strict=True)
        )
        self.downsamples = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for width in widths[:-1])
        self.middle = nn.ModuleList([_block(settings, widths[-1], widths[-1]) for _ in range(2)])
        self.attention = SelfAttention(widths[-1], settings.num_heads, settings.num_groups)
        above = [widths[-1], *reversed(widths[1:])]  # channels entering each level from below, the lowest first
        self.up_levels = nn.ModuleList(
            _level(settings, in_channels + width, width, num_blocks)
            for in_channels, width in zip(above, reversed(widths), strict=True)
        )
        self.upsamples = nn.ModuleList(
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1) for width in reversed(widths[1:])
        )
        self.norm_out = nn.GroupNorm(settings.num_groups, base * settings.channel_multipliers[0])
        self.conv_out = nn.Conv2d(base * settings.channel_multipliers[0], channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(_bias(self.conv_out))

    def forward(
        self,
        x: Float[Tensor, "batch channels height width"],
        t: Float[Tensor, " batch"],
        label: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch channels height width"]:
        """Predict the velocity.

        `x` about [-1, 1], `t` in [0, 1], `label` in 0..num_classes, where num_classes is null.
        """
        self.check_size(x.shape[-2], x.shape[-1])
        condition = self.embedding(t, label)
        x, skips = self._down(self.conv_in(x), condition)
        x = self.middle[0](x, condition)
        x = self.middle[1](self.attention(x), condition)
        x = self._up(x, skips, condition)
        return self.conv_out(functional.silu(self.norm_out(x)))

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError for an image size that the levels cannot halve without a remainder."""
        factor = 2 ** (self.num_levels - 1)
        if height % factor or width % factor:
            raise ValueError(
                f"images are {height}x{width}; with {self.num_levels} levels both sides must be multiples of {factor}: "
                f"resize the images, or give fewer `channel_multipliers`"
            )

    def _down(self, x: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips: list[Tensor] = []
        for i, level in enumerate(self.down_levels):
            x = level(x, condition)
            skips.append(x)
            if i < len(self.downsamples):
                x = self.downsamples[i](x)
        return x, skips

    def _up(self, x: Tensor, skips: list[Tensor], condition: Tensor) -> Tensor:
        for i, level in enumerate(self.up_levels):
            x = level(torch.cat([x, skips[-1 - i]], dim=1), condition)
            if i < len(self.upsamples):
                x = self.upsamples[i](x)
        return x


class ConditionEmbedding(nn.Module):
    """Embedding of time and class as one vector of 4 `base` features."""

    def __init__(self, base: int, num_classes: int) -> None:
        super().__init__()
        self.base = base
        self.time = nn.Sequential(nn.Linear(base, 4 * base), nn.SiLU(), nn.Linear(4 * base, 4 * base))
        self.label = nn.Embedding(num_classes + 1, 4 * base)

    def forward(self, t: Float[Tensor, " batch"], label: Int[Tensor, " batch"]) -> Float[Tensor, "batch features"]:
        """Return the sum of both embeddings."""
        features = sinusoid(t.float() * TIME_SCALE, self.base).to(self.label.weight.dtype)
        return self.time(features) + self.label(label)


def sinusoid(position: Float[Tensor, " batch"], dim: int) -> Float[Tensor, "batch dim"]:
    """Return cosines, then sines, at frequencies falling geometrically from 1 to about 1/10,000 (Vaswani 2017, 3.5)."""
    half = (dim + 1) // 2
    frequency = torch.exp(torch.arange(half, device=position.device) * (-math.log(10_000) / half))
    angle = position[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)[:, :dim]


class UNetLevel(nn.Module):
    """Residual blocks of one resolution."""

    def __init__(self, blocks: list["ResBlock"]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Apply the blocks in turn."""
        for block in self.blocks:
            x = block(x, condition)
        return x


class ResBlock(nn.Module):
    """Two convolutions with the condition added between them, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(groups, in_channels)
        self.conv_1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.condition = nn.Linear(condition_dim, out_channels)
        self.norm_2 = nn.GroupNorm(groups, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, condition: Float[Tensor, "batch features"]) -> Tensor:
        """Return features of the same height and width as `x`."""
        hidden = self.conv_1(functional.silu(self.norm_1(x)))
        hidden = hidden + self.condition(functional.silu(condition))[:, :, None, None]
        hidden = self.conv_2(self.dropout(functional.silu(self.norm_2(hidden))))
        return self.shortcut(x) + hidden


class SelfAttention(nn.Module):
    """Multi-head attention between all pixels, added to its input."""

    def __init__(self, channels: int, num_heads: int, num_groups: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.GroupNorm(num_groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return features of the same shape as `x`."""
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, self.num_heads, channels // self.num_heads, height * width)
        q, k, v = qkv.transpose(-1, -2).unbind(dim=1)  # each [batch, heads, pixels, channels per head]
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return x + self.proj(mixed.transpose(-1, -2).reshape(batch, channels, height, width))


def _block(settings: Network, in_channels: int, out_channels: int) -> ResBlock:
    condition_dim = 4 * settings.base_channels
    return ResBlock(in_channels, out_channels, condition_dim, settings.num_groups, settings.dropout)


def _level(settings: Network, in_channels: int, width: int, num_blocks: int) -> UNetLevel:
    inputs = [in_channels] + [width] * (num_blocks - 1)
    return UNetLevel([_block(settings, channels, width) for channels in inputs])


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias

"""The autoencoder of Stable Diffusion (Rombach et al. 2022), with diffusers' names of the weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from trainables.workloads.video_prediction.autoencoder import VaeShape

_EPS = 1e-6
_LOG_VARIANCES = (-30.0, 20.0)
"""Bounds of the reference implementation."""


class Vae(nn.Module):
    """Variational autoencoder; 83,653,863 parameters in its default shape."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        latents = shape.latent_channels
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.quant_conv = nn.Conv2d(2 * latents, 2 * latents, 1)
        self.post_quant_conv = nn.Conv2d(latents, latents, 1)

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch moments h w"]:
        """Return the Gaussian posterior: all means, then all standard deviations; images in -1..1."""
        mean, log_variance = self.quant_conv(self.encoder(images)).chunk(2, dim=1)
        return torch.cat([mean, (log_variance.clamp(*_LOG_VARIANCES) / 2).exp()], dim=1)

    def decode(self, latents: Float[Tensor, "batch latents h w"]) -> Float[Tensor, "batch 3 height width"]:
        """Return images in about -1..1."""
        return self.decoder(self.post_quant_conv(latents))


class Encoder(nn.Module):
    """Residual blocks at halved resolution after each level but the last, then self-attention."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        widths, groups = shape.block_out_channels, shape.norm_num_groups
        self.conv_in = nn.Conv2d(shape.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            before = widths[max(0, level - 1)]
            sampler = Downsample(width) if level + 1 < len(widths) else None
            self.down_blocks.append(VaeLevel(before, width, shape.layers_per_block, groups, downsampler=sampler))
        self.mid_block = Middle(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=_EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * shape.latent_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return mean and log-variance of the posterior, before `quant_conv`."""
        maps = self.conv_in(images)
        for block in self.down_blocks:
            maps = block(maps)
        return self.conv_out(functional.silu(self.conv_norm_out(self.mid_block(maps))))


class Decoder(nn.Module):
    """The encoder's mirror image, with one more residual block at each level."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        widths, groups = shape.block_out_channels[::-1], shape.norm_num_groups
        self.conv_in = nn.Conv2d(shape.latent_channels, widths[0], 3, padding=1)
        self.mid_block = Middle(widths[0], groups)
        self.up_blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            before = widths[max(0, level - 1)]
            sampler = Upsample(width) if level + 1 < len(widths) else None
            self.up_blocks.append(VaeLevel(before, width, shape.layers_per_block + 1, groups, upsampler=sampler))
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=_EPS)
        self.conv_out = nn.Conv2d(widths[-1], shape.in_channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Return images."""
        maps = self.mid_block(self.conv_in(latents))
        for block in self.up_blocks:
            maps = block(maps)
        return self.conv_out(functional.silu(self.conv_norm_out(maps)))


class VaeLevel(nn.Module):
    """Residual blocks at one resolution, then a change of resolution."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_layers: int,
        groups: int,
        *,
        downsampler: nn.Module | None = None,
        upsampler: nn.Module | None = None,
    ) -> None:
        super().__init__()
        widths = [in_channels, *[out_channels] * (num_layers - 1)]
        self.resnets = nn.ModuleList([Residual(width, out_channels, groups) for width in widths])
        if downsampler is not None:
            self.downsamplers = nn.ModuleList([downsampler])
        if upsampler is not None:
            self.upsamplers = nn.ModuleList([upsampler])

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of twice or half the resolution, or the same at the last level."""
        for name in ("resnets", "downsamplers", "upsamplers"):
            for module in getattr(self, name, ()):
                maps = module(maps)
        return maps


class Middle(nn.Module):
    """Two residual blocks with self-attention over all positions between them."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([Residual(channels, channels, groups) for _ in range(2)])
        self.attentions = nn.ModuleList([SelfAttention(channels, groups)])

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        return self.resnets[1](self.attentions[0](self.resnets[0](maps)))


class Residual(nn.Module):
    """Two convolutions, each after a norm and SiLU, added to their input."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=_EPS)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps=_EPS)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of `out_channels`."""
        hidden = self.conv1(functional.silu(self.norm1(maps)))
        hidden = self.conv2(functional.silu(self.norm2(hidden)))
        return hidden + (self.conv_shortcut(maps) if hasattr(self, "conv_shortcut") else maps)


class SelfAttention(nn.Module):
    """Attention with one head over all positions of a map, added to its input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=_EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        tokens = self.group_norm(maps).flatten(2).transpose(1, 2)
        q, k, v = (layer(tokens)[:, None] for layer in (self.to_q, self.to_k, self.to_v))
        mixed = functional.scaled_dot_product_attention(q, k, v)[:, 0]
        return maps + self.to_out[0](mixed).transpose(1, 2).unflatten(2, maps.shape[-2:])


class Downsample(nn.Module):
    """A strided convolution, with zeros at the right and lower edge only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of half the resolution."""
        return self.conv(functional.pad(maps, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest neighbours, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of twice the resolution."""
        return self.conv(functional.interpolate(maps, scale_factor=2.0, mode="nearest"))

"""TransENet (Lei, Shi and Mo 2022): convolutional stages whose features are fused by a transformer."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from trainables.workloads.super_resolution import network_config
from trainables.workloads.super_resolution.networks.edsr import ResidualBlock
from trainables.workloads.super_resolution.networks.mean_shift import MeanShift
from trainables.workloads.super_resolution.networks.padding import crop, pad_to_multiple
from trainables.workloads.super_resolution.networks.upsampling import (
    SubPixelUpsampler,
    choose_scale,
    zero_gradient_dependency,
)

NUM_STAGES = 3

_Tokens = Float[Tensor, "batch tokens dim"]
_Features = Float[Tensor, "batch channels height width"]


class Attention(nn.Module):
    """Multi-head attention of `x` to `context`; the products are scaled by token_dim^-0.5, as in the paper's code."""

    def __init__(self, config: network_config.TransENet) -> None:
        super().__init__()
        inner = config.num_heads * config.head_dim
        self.num_heads, self.scale = config.num_heads, config.token_dim**-0.5
        self.to_q = nn.Linear(config.token_dim, inner, bias=False)
        self.to_kv = nn.Linear(config.token_dim, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, config.token_dim)

    def forward(self, x: _Tokens, context: Float[Tensor, "batch others dim"]) -> _Tokens:
        """Return tokens of the same shape as `x`."""
        q, k, v = (self._split(part) for part in (self.to_q(x), *self.to_kv(context).chunk(2, dim=-1)))
        attended = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return self.to_out(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Linear, GELU, linear."""

    def __init__(self, config: network_config.TransENet) -> None:
        dim, hidden = config.token_dim, config.feedforward_dim
        super().__init__(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each on normed tokens and added."""

    def __init__(self, config: network_config.TransENet) -> None:
        super().__init__()
        self.norm_1, self.attention = nn.LayerNorm(config.token_dim), Attention(config)
        self.norm_2, self.feedforward = nn.LayerNorm(config.token_dim), FeedForward(config)

    def forward(self, x: _Tokens) -> _Tokens:
        """Return tokens of the same shape."""
        normed = self.norm_1(x)
        x = x + self.attention(normed, normed)
        return x + self.feedforward(self.norm_2(x))


class DecoderLayer(nn.Module):
    """Self-attention, attention to the tokens of a stage, feed-forward."""

    def __init__(self, config: network_config.TransENet) -> None:
        super().__init__()
        self.norm_1, self.self_attention = nn.LayerNorm(config.token_dim), Attention(config)
        self.norm_2, self.cross_attention = nn.LayerNorm(config.token_dim), Attention(config)
        self.norm_3, self.feedforward = nn.LayerNorm(config.token_dim), FeedForward(config)

    def forward(self, x: _Tokens, context: Float[Tensor, "batch others dim"]) -> _Tokens:
        """Return tokens of the same shape as `x`."""
        normed = self.norm_1(x)
        x = x + self.self_attention(normed, normed)
        x = x + self.cross_attention(self.norm_2(x), context)
        return x + self.feedforward(self.norm_3(x))


class Transformer(nn.Module):
    """Transformer that fuses the enlarged features with those of the stages.

    Each stage has an encoder; decoders run from the last stage to the first. Tokens carry no position, so the
    parameters fit any image whose sides are multiples of the patch.
    """

    def __init__(self, config: network_config.TransENet) -> None:
        super().__init__()
        patch_dim = config.reduced_channels * config.patch_side**2
        self.side = config.patch_side
        self.low_embedding = nn.ModuleList(nn.Linear(patch_dim, config.token_dim) for _ in range(NUM_STAGES))
        self.high_embedding = nn.Linear(patch_dim, config.token_dim)
        self.low_encoders = nn.ModuleList(_stack(EncoderLayer, config.encoder_depth, config) for _ in range(NUM_STAGES))
        self.high_encoder = _stack(EncoderLayer, config.encoder_depth, config)
        self.decoders = nn.ModuleList(_stack(DecoderLayer, config.decoder_depth, config) for _ in range(NUM_STAGES))
        self.to_patches = nn.Linear(config.token_dim, patch_dim)

    def forward(self, stages: Sequence[Tensor], enlarged: _Features) -> _Features:
        """Fuse `stages` at low resolution, first to last; the result has the shape of `enlarged`."""
        tokens = self.high_embedding(self._patchify(enlarged))
        for layer in self.high_encoder:
            tokens = layer(tokens)
        parts = zip(stages, self.low_embedding, self.low_encoders, self.decoders, strict=True)
        for stage, embedding, encoder, decoder in reversed(list(parts)):
            context = embedding(self._patchify(stage))
            for layer in encoder:  # pyright: ignore
                context = layer(context)
            for layer in decoder:  # pyright: ignore
                tokens = layer(tokens, context)
        patches = self.to_patches(tokens).transpose(1, 2)
        return functional.fold(patches, enlarged.shape[-2:], self.side, stride=self.side)

    def _patchify(self, x: Tensor) -> Tensor:
        return functional.unfold(x, self.side, stride=self.side).transpose(1, 2)


class TransENetNetwork(nn.Module):
    """Head, three stages, upsampler, transformer, tail."""

    def __init__(self, config: network_config.TransENet, scales: Sequence[int]) -> None:
        super().__init__()
        channels, reduced = config.num_channels, config.reduced_channels
        self.multiple = config.patch_side
        self.sub_mean = MeanShift(config.rgb_mean, sign=-1)
        self.add_mean = MeanShift(config.rgb_mean, sign=1)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(channels) for _ in range(config.blocks_per_stage))) for _ in range(NUM_STAGES)
        )
        self.upsamplers = nn.ModuleDict({str(scale): SubPixelUpsampler(scale, channels) for scale in scales})
        self.reduce_stages = nn.ModuleList(nn.Conv2d(channels, reduced, 1) for _ in range(NUM_STAGES))
        self.reduce_enlarged = nn.Conv2d(channels, reduced, 1)
        self.transformer = Transformer(config)
        self.expand = nn.Conv2d(reduced, channels, 1)
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(
        self, image: Float[Tensor, "batch 3 height width"], scale: int | None = None
    ) -> Float[Tensor, "batch 3 scaled_height scaled_width"]:
        """Enlarge images in 0..1, sides at least `patch_side`, by `scale`, by default the first."""
        scale = choose_scale(scale, self.upsamplers)
        height, width = image.shape[-2:]
        features, stages = self.head(self.sub_mean(pad_to_multiple(image, self.multiple))), []
        for stage in self.stages:
            features = stage(features)
            stages.append(features)
        enlarged = self.upsamplers[str(scale)](features)
        reduced = [reduce(stage) for reduce, stage in zip(self.reduce_stages, stages, strict=True)]
        fused = self.transformer(reduced, self.reduce_enlarged(enlarged))
        result = self.add_mean(self.tail(self.expand(fused)))
        for other, upsampler in self.upsamplers.items():
            if other != str(scale):
                result = zero_gradient_dependency(upsampler, result)
        return crop(result, height * scale, width * scale)


def _stack(layer: type[nn.Module], depth: int, config: network_config.TransENet) -> nn.ModuleList:
    return nn.ModuleList(layer(config) for _ in range(depth))

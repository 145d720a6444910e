"""Encoder from one cycle to its embedding: convolutions, then Mamba or Transformer layers or nothing, then the mean."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.workloads.heart_sound.networks.config import EncoderConfig
from trainables.workloads.heart_sound.networks.mamba import MambaLayer

Signal = Float[Tensor, "batch samples"]
Embedding = Float[Tensor, "batch width"]
SUB_STAGE = 2
"""Number of stages whose output is a sub-structure's features."""


class Encoder(nn.Module):
    """Encoder; `width` is the embedding's size, `sub_width` that of a sub-structure's features."""

    def __init__(self, settings: EncoderConfig) -> None:
        super().__init__()
        first, *others = settings.channels
        self.width, self.sub_width = settings.channels[-1], settings.channels[SUB_STAGE]
        self.stem = nn.Sequential(
            nn.Conv1d(1, first, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm1d(first),
            nn.GELU(),
            nn.Dropout(settings.dropout),
        )
        kernels = (5, 5, 3)
        sizes = zip(settings.channels[:-1], others, kernels, strict=True)
        self.stages = nn.ModuleList(ResidualStage(before, after, kernel) for before, after, kernel in sizes)
        self.sequence = build_sequence(settings)
        self.norm = nn.RMSNorm(self.width)
        self.pool = AttentionPool(self.width) if settings.pooling == "attention" else MeanPool()

    def forward(self, signal: Signal) -> Embedding:
        x = self.stem(signal[:, None])
        for stage in self.stages:
            x = stage(x)
        return self.pool(self.norm(self.sequence(x.transpose(1, 2))))

    def encode_segments(self, parts: Signal) -> Float[Tensor, "batch sub_width"]:
        """Return pooled features of single sub-structures, each passed through the first stages by itself."""
        x = self.stem(parts[:, None])
        for stage in self.stages[:SUB_STAGE]:
            x = stage(x)
        return x.mean(dim=-1)


class MeanPool(nn.Module):
    """Mean over time."""

    def forward(self, x: Float[Tensor, "batch time width"]) -> Embedding:
        return x.mean(dim=1)


class GatedAttention(nn.Module):
    """Attention score of each embedding: w^T (tanh(V h) * sigm(U h)) (Ilse et al. 2018, equation 9, before softmax)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(width // 2, 1)
        self.content, self.gate = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows 1"]:
        return self.score(self.content(x).tanh() * self.gate(x).sigmoid())


class AttentionPool(GatedAttention):
    """Mean over time, weighted by gated attention."""

    def forward(self, x: Float[Tensor, "batch time width"]) -> Embedding:
        return (super().forward(x).softmax(dim=1) * x).sum(dim=1)


class ResidualStage(nn.Module):
    """Two convolutions beside a 1x1 shortcut; halves the length."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        padding = kernel // 2
        self.body = nn.Sequential(
            nn.Conv1d(before, after, kernel, stride=2, padding=padding, bias=False),
            nn.BatchNorm1d(after),
            nn.GELU(),
            nn.Conv1d(after, after, kernel, padding=padding, bias=False),
            nn.BatchNorm1d(after),
        )
        self.shortcut = nn.Sequential(nn.Conv1d(before, after, 1, stride=2, bias=False), nn.BatchNorm1d(after))
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


class Transformer(nn.Module):
    """Pre-norm layers over sinusoidal positions."""

    def __init__(self, settings: EncoderConfig) -> None:
        super().__init__()
        width = settings.channels[-1]
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                settings.num_heads,
                4 * width,
                settings.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(settings.num_layers)
        )

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        x = x + sinusoidal_positions(x.shape[1], x.shape[2], device=x.device).to(x.dtype)
        for layer in self.layers:
            x = layer(x)
        return x


def sinusoidal_positions(
    length: int, width: int, *, device: torch.device | None = None
) -> Float[Tensor, "length width"]:
    """Return sinusoidal positions (Vaswani et al. 2017, section 3.5)."""
    rates = torch.exp(-math.log(10_000) * torch.arange(0, width, 2, device=device) / width)
    angles = torch.arange(length, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def build_sequence(settings: EncoderConfig) -> nn.Module:
    """Build the sequence model of the settings."""
    if settings.sequence == "none":
        return nn.Identity()
    if settings.sequence == "transformer":
        return Transformer(settings)
    layers = [
        MambaLayer(
            settings.channels[-1],
            state_size=settings.state_size,
            expansion=settings.expansion,
            dropout=settings.dropout,
        )
        for _ in range(settings.num_layers)
    ]
    return nn.Sequential(*layers)


BLOCK_TYPES = (ResidualStage, MambaLayer, nn.TransformerEncoderLayer)
"""Classes of the repeated parts of an encoder."""

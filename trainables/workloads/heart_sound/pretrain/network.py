"""Pretraining network: the encoder with two projectors, which are dropped afterwards."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.workloads.heart_sound.networks.config import EncoderConfig
from trainables.workloads.heart_sound.networks.encoder import Encoder, Signal
from trainables.workloads.heart_sound.pretrain.config import Contrast

CYCLE_SIZES = (512, 128)
PART_SIZES = (256, 64)


class PretrainNetwork(nn.Module):
    """Network that gives one row per cycle: its projection, then the projections of its parts when they are used."""

    def __init__(self, encoder: EncoderConfig, contrast: Contrast) -> None:
        super().__init__()
        self.encoder = Encoder(encoder)
        self.cycle_projector = build_projector(self.encoder.width, *CYCLE_SIZES)
        self.num_parts = contrast.num_parts
        self.part_projector = build_projector(self.encoder.sub_width, *PART_SIZES) if contrast.sub_weight else None

    def forward(self, signal: Signal) -> Float[Tensor, "batch projections"]:
        cycles = self.cycle_projector(self.encoder(signal))
        if self.part_projector is None:
            return cycles
        parts = signal.reshape(len(signal) * self.num_parts, -1)
        projections = self.part_projector(self.encoder.encode_segments(parts))
        return torch.cat([cycles, projections.reshape(len(signal), -1)], dim=1)

    def separate(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Split rows into projections of cycles [batch, width], and of parts [batch, parts, width] if they are used."""
        cycles, parts = rows[:, : CYCLE_SIZES[1]], rows[:, CYCLE_SIZES[1] :]
        return cycles, parts.reshape(len(rows), self.num_parts, -1) if parts.shape[1] else None


def build_projector(width: int, hidden: int, out: int) -> nn.Sequential:
    """Build linear, batch norm, ReLU, linear."""
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))

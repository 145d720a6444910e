"""Settings of the encoder that pretraining and fine-tuning share."""

from typing import Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config


class EncoderConfig(Config):
    """Settings of a convolutional stem that shortens the signal 16-fold, a sequence model, and pooling over time.

    The defaults have 2,185,376 parameters with Mamba blocks, 3,653,792 with Transformer blocks and 494,752 with none.
    """

    sequence: Literal["mamba", "transformer", "none"] = "mamba"
    """Blocks of the sequence model: Mamba (Gu and Dao 2023), Transformer, or none."""
    channels: tuple[int, int, int, int] = (32, 64, 128, 256)
    """Channels of the four convolutional stages; the last is the width of the sequence model and of the embedding."""
    num_layers: int = Field(default=4, ge=1, le=32)
    """Blocks."""
    state_size: int = Field(default=16, ge=1, le=256)
    """mamba only."""
    expansion: int = Field(default=2, ge=1, le=8)
    """mamba only: inner width over outer width."""
    num_heads: int = Field(default=8, ge=1)
    """transformer only."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """In each block."""
    pooling: Literal["mean", "attention"] = "mean"
    """Over the time of a sample; attention is learnt, and in windows of several seconds chooses among their heart
    beats."""

    @model_validator(mode="after")
    def _widths_fit(self) -> Self:
        if min(self.channels) < 1:
            raise ValueError(f"`channels` are {self.channels}; each must be at least 1")
        if self.sequence == "transformer" and self.channels[-1] % self.num_heads:
            raise ValueError(f"`num_heads` ({self.num_heads}) must divide the last of `channels` ({self.channels[-1]})")
        return self

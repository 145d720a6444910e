"""Settings of the video-prediction networks; each class is one network, identified by its `name`."""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config


class DitSize(NamedTuple):
    """Depth, width and heads of a DiT."""

    depth: int
    hidden_dim: int
    num_heads: int


SIZES = {
    "XL": DitSize(28, 1152, 16),
    "L": DitSize(24, 1024, 16),
    "B": DitSize(12, 768, 12),
    "S": DitSize(12, 384, 6),
    "small": DitSize(6, 192, 3),
    "mini": DitSize(4, 96, 3),
}
"""XL to S as in Peebles and Xie 2023, table 1; small is for pixels at 64x64, mini for a demonstration on a CPU."""


class PastEncoder(Config):
    """Settings of the 3-D convolutions over the past frames, whose mean over time conditions every token."""

    channels: int = Field(default=256, ge=8, le=2048)
    """Channels of the convolutions."""
    num_layers: int = Field(default=4, ge=1, le=16)
    """Convolutions."""
    num_groups: int = Field(default=32, ge=1)
    """Groups of each GroupNorm; must divide `channels`."""
    patch_size: int = Field(default=1, ge=1, le=16)
    """Frames are rearranged into patches of this side first; must divide that of the DiT. For pixels, where full
    resolution would cost more than the transformer."""

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        if self.channels % self.num_groups:
            raise ValueError(f"`num_groups` ({self.num_groups}) must divide `channels` ({self.channels})")
        return self


class DiT(Config):
    """Diffusion transformer (Peebles and Xie 2023) whose attention is joint over all tokens of all future frames."""

    name: Literal["dit"] = "dit"
    size: Literal["XL", "L", "B", "S", "small", "mini"] = "small"
    """Depth, width and heads: 28, 1152, 16 for XL down to 4, 96, 3 for mini."""
    patch_size: Literal[2, 4, 8] = 4
    """Side of the square of a frame that makes one token."""
    past: PastEncoder = PastEncoder(channels=64, num_groups=16, patch_size=4)

    @model_validator(mode="after")
    def _patches_nest(self) -> Self:
        if self.patch_size % self.past.patch_size:
            raise ValueError(f"`past.patch_size` ({self.past.patch_size}) must divide `patch_size` ({self.patch_size})")
        return self

    @property
    def label(self) -> str:
        """For example `XL/2`."""
        return f"{self.size}/{self.patch_size}"

    @property
    def divisor(self) -> int:
        """Divisor of the height and width of a frame."""
        return self.patch_size


class ConvolutionalBaseline(Config):
    """A SimVP-like network (Gao et al. 2022) that regresses all future frames at once; no diffusion."""

    name: Literal["simvp"] = "simvp"
    channels: int = Field(default=32, ge=4, le=512)
    """Channels of each frame inside the encoder."""
    num_downsamplings: int = Field(default=2, ge=1, le=4)
    """Halvings of the frames' sides inside the encoder."""
    num_blocks: int = Field(default=4, ge=1, le=32)
    """Blocks of the translator, which gets all past frames together."""
    hidden_channels: int = Field(default=256, ge=8, le=4096)
    """Channels of the translator."""

    @property
    def label(self) -> str:
        """For example `ch32`."""
        return f"ch{self.channels}"

    @property
    def divisor(self) -> int:
        """Divisor of the height and width of a frame."""
        return 2**self.num_downsamplings


AnyNetwork = Annotated[DiT | ConvolutionalBaseline, Field(discriminator="name")]

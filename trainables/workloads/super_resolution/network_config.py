"""Settings of the super-resolution networks; each class is one network, identified by its `name`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config

RgbMean = tuple[float, float, float]
DIV2K_MEAN: RgbMean = (0.4488, 0.4371, 0.4040)
UC_MERCED_MEAN: RgbMean = (0.4916, 0.4991, 0.4565)


class SymUNet(Config):
    """SymUNet: Restormer blocks in a U-Net whose skips are added.

    w48 with 4,6,6 / 6,6,4 blocks has 12,641,245 parameters, w32 with 4,6 / 6,4 has 1,366,707 (before upsampling).
    """

    name: Literal["symunet"] = "symunet"
    upsampling: Literal["pre", "post"] = "pre"
    """pre: the image is enlarged first and the network works at high resolution, one network for all scales. post: it
    works at low resolution and a sub-pixel convolution for each scale enlarges at the end; s^2 times less memory."""
    width: int = Field(default=48, ge=4, le=512)
    """Channels of the uppermost level; every level below has twice as many."""
    encoder_blocks: tuple[int, ...] = Field(default=(4, 6, 6), min_length=1, max_length=6)
    """From the uppermost level down."""
    decoder_blocks: tuple[int, ...] = Field(default=(6, 6, 4), min_length=1, max_length=6)
    """From the lowest level up."""
    encoder_heads: tuple[int, ...] = (1, 2, 4)
    """From the uppermost level down; the decoder has the same."""
    middle_blocks: int = Field(default=1, ge=0, le=32)
    """Blocks of the lowest level."""
    middle_heads: int = Field(default=8, ge=1)
    """Heads of the attention there."""
    expansion: float = Field(default=2.66, gt=0, le=8)
    """Hidden channels of a feed-forward part over its channels."""

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        levels = len(self.encoder_blocks)
        if len(self.decoder_blocks) != levels or len(self.encoder_heads) != levels:
            raise ValueError(
                f"`encoder_blocks`, `decoder_blocks` and `encoder_heads` have {levels}, {len(self.decoder_blocks)} and "
                f"{len(self.encoder_heads)} entries; give one for each level"
            )
        heads = [*self.encoder_heads, self.middle_heads]
        for level, count in enumerate(heads):
            if count < 1 or self.width * 2**level % count:
                raise ValueError(f"{count} heads do not divide the {self.width * 2**level} channels of level {level}")
        return self


class Edsr(Config):
    """EDSR (Lim et al. 2017). Baseline x4: 1,517,595 parameters; the paper's size, 32 blocks of 256 channels: 43.09M.

    With several scales they share the body and have a tail each.
    """

    name: Literal["edsr"] = "edsr"
    num_blocks: int = Field(default=16, ge=1, le=256)
    """Residual blocks."""
    num_channels: int = Field(default=64, ge=1, le=1024)
    """Channels of the features."""
    residual_scaling: float = Field(default=1.0, gt=0, le=1)
    """0.1 with 256 channels, as in the paper."""
    rgb_range: Literal[1, 255] = 255
    """The range of the pixels that the network itself works with."""
    rgb_mean: RgbMean = DIV2K_MEAN
    """Mean colour in 0..1, subtracted at the start and added at the end."""
    has_bicubic_skip: bool = False
    """Train the difference to the bicubic image, which is not in the paper and helps short trainings."""


class TransENet(Config):
    """TransENet (Lei et al. 2022): a transformer over the features of three stages. x4: 37,458,907 parameters."""

    name: Literal["transenet"] = "transenet"
    num_channels: int = Field(default=64, ge=1, le=512)
    """Channels of the features."""
    blocks_per_stage: int = Field(default=5, ge=1, le=64)
    """Residual blocks of each of the three stages."""
    reduced_channels: int = Field(default=16, ge=1, le=512)
    """Channels that a stage's features are reduced to before they become tokens."""
    patch_side: int = Field(default=8, ge=1, le=64)
    """Side of the square of features that makes one token; must divide the training patch at both resolutions."""
    token_dim: int = Field(default=512, ge=1, le=4096)
    """Width of the transformer."""
    encoder_depth: int = Field(default=8, ge=1, le=32)
    """Layers of each encoder."""
    decoder_depth: int = Field(default=1, ge=1, le=32)
    """Layers of each decoder."""
    num_heads: int = Field(default=6, ge=1, le=64)
    """Heads of the attention."""
    head_dim: int = Field(default=32, ge=1, le=512)
    """Width of each head."""
    feedforward_dim: int = Field(default=512, ge=1, le=8192)
    """Hidden width of the feed-forward parts."""
    rgb_mean: RgbMean = UC_MERCED_MEAN
    """Mean colour in 0..1, subtracted at the start and added at the end."""


AnyNetwork = Annotated[SymUNet | Edsr | TransENet, Field(discriminator="name")]

"""Spaces of prediction: conversion of 8-bit frames to the network's input, and back."""

from typing import Protocol

from jaxtyping import Float, UInt8
from torch import Tensor

from data_pipelines.contract.row_draws import TorchDraws


class Space(Protocol):
    """Form of frames in the network."""

    is_bounded: bool
    """Whether encoded frames lie within -1..1."""
    channels: int
    height: int
    width: int

    def encode(
        self, frames: UInt8[Tensor, "batch time channels height width"], draws: TorchDraws | None = None
    ) -> Float[Tensor, "batch time features h w"]:
        """Convert stored frames to the network's input; a space may sample it, when draws are given."""
        ...

    def decode(
        self, encoded: Float[Tensor, "batch time features h w"]
    ) -> Float[Tensor, "batch time channels height width"]:
        """Convert the network's output to grey levels in 0..1, clamped."""
        ...


class PixelSpace:
    """Space of grey levels scaled to -1..1."""

    is_bounded = True

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.channels, self.height, self.width = channels, height, width

    def encode(self, frames: Tensor, draws: TorchDraws | None = None) -> Tensor:
        """Convert 0..255 to -1..1."""
        return frames.float() / 127.5 - 1

    def decode(self, encoded: Tensor) -> Tensor:
        """Convert -1..1 to 0..1, clamped."""
        return ((encoded.float() + 1) / 2).clamp(0, 1)

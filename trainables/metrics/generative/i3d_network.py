"""I3D (Carreira and Zisserman 2017): Inception-v1 with 3-D convolutions; weights as the PyTorch ports name them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

NUM_CLASSES = 400
"""Classes of Kinetics-400."""
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Channels of the four branches, as in Inception-v1 (Szegedy et al. 2015, table 1)."""
_POOLS = {"Mixed_3b": ((1, 3, 3), (1, 2, 2)), "Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}
"""Maximum pooling before a block: window and stride in time, height and width."""


class I3d(nn.Module):
    """I3D network; 12,697,264 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, stride=2)
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        width = 192
        for name, channels in _MIXED.items():
            self.add_module(name, Mixed(width, channels))
            width = channels[0] + channels[2] + channels[4] + channels[5]
        self.logits = Unit(width, NUM_CLASSES, 1, is_plain=True)

    def forward(self, clips: Float[Tensor, "batch 3 time 224 224"]) -> Float[Tensor, "batch classes"]:
        """Return logits, averaged over time; clips in -1..1."""
        maps = pool_same(self.Conv3d_1a_7x7(clips), (1, 3, 3), (1, 2, 2))
        maps = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(maps))
        for name in _MIXED:
            if name in _POOLS:
                maps = pool_same(maps, *_POOLS[name])
            maps = self.get_submodule(name)(maps)
        return self.logits(functional.avg_pool3d(maps, (2, 7, 7), stride=1)).mean(dim=(2, 3, 4))


class Unit(nn.Module):
    """Convolution with TensorFlow's zero padding, then batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, side: int, *, stride: int = 1, is_plain: bool = False):
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, side, stride=stride, bias=is_plain)
        if not is_plain:
            self.bn = nn.BatchNorm3d(out_channels, eps=0.001)
        self._is_plain = is_plain

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of 1 / stride of the size, rounded up."""
        maps = self.conv3d(pad_same(maps, self.conv3d.kernel_size, self.conv3d.stride))
        return maps if self._is_plain else functional.relu(self.bn(maps))


class Mixed(nn.Module):
    """Inception block of four branches side by side."""

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.b0 = Unit(in_channels, channels[0], 1)
        self.b1a, self.b1b = Unit(in_channels, channels[1], 1), Unit(channels[1], channels[2], 3)
        self.b2a, self.b2b = Unit(in_channels, channels[3], 1), Unit(channels[3], channels[4], 3)
        self.b3b = Unit(in_channels, channels[5], 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same size."""
        pooled = pool_same(maps, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(maps), self.b1b(self.b1a(maps)), self.b2b(self.b2a(maps)), self.b3b(pooled)], dim=1)


def pad_same(maps: Tensor, window: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Pad zeros at both ends of each axis, the odd one behind, for a result of 1 / stride of the size, rounded up."""
    sides: list[int] = []
    for length, size, step in zip(maps.shape[2:], window, stride, strict=True):
        total = max(size - (step if length % step == 0 else length % step), 0)
        sides = [total // 2, total - total // 2, *sides]
    return functional.pad(maps, sides)


def pool_same(maps: Tensor, window: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Pool maxima; the padded zeros take part, and change nothing as the maps come from ReLUs."""
    return functional.max_pool3d(pad_same(maps, window, stride), window, stride)

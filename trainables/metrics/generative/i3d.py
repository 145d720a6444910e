"""The I3D features of the published FVD (Carreira and Zisserman 2017), from a weights file given by the user."""

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from trainables.contract.external_weights import read_weights, refuse_other_weights

SIDE = 224
NUM_CLASSES = 400
"""Classes of Kinetics-400."""
_NAMES = "i3d_torchscript.pt of StyleGAN-V, or the state dict of a PyTorch port of I3D (RGB, Kinetics-400)"
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


class I3dFeatures(nn.Module):
    """Network from clips to the 400 logits, before the softmax.

    A script resizes and scales by itself; for a state dict frames are resized bilinearly to 224x224, not cropped. FVD
    depends on such details, so values of the two kinds of files are no more comparable than those of other programs.
    """

    feature_dim = NUM_CLASSES

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self._is_script = is_script(weights)
        self.network = _load_script(weights) if self._is_script else _load_state(weights)

    @torch.no_grad()
    def forward(self, clips: UInt8[Tensor, "batch time channels height width"]) -> Float[Tensor, "batch features"]:
        """Return features of clips of at least 9 frames of any size, levels 0 to 255.

        Grey is repeated to three channels.
        """
        if clips.shape[2] == 1:
            clips = clips.expand(-1, -1, 3, -1, -1)
        with torch.autocast(clips.device.type, enabled=False):
            if self._is_script:
                videos = clips.transpose(1, 2).float()
                return self.network(videos, rescale=True, resize=True, return_features=True)
            return self.network(to_input(clips))


def to_input(
    clips: UInt8[Tensor, "batch time 3 height width"],
) -> Float[Tensor, "batch 3 time side side"]:
    """Resize clips and scale them to -1..1."""
    frames = functional.interpolate(clips.flatten(0, 1).float(), (SIDE, SIDE), mode="bilinear", align_corners=False)
    return frames.unflatten(0, clips.shape[:2]).transpose(1, 2) / 127.5 - 1


def is_script(weights: Path) -> bool:
    """Return whether the file is a TorchScript archive; ValueError when there is no file."""
    if not weights.is_file():
        raise ValueError(f"no I3D weights at {weights}; give {_NAMES}")
    if not zipfile.is_zipfile(weights):
        return False
    with zipfile.ZipFile(weights) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _load_script(weights: Path) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch recommends another form of file
            return torch.jit.load(weights, map_location="cpu").eval()
    except RuntimeError as error:
        raise ValueError(f"{weights}: cannot be read as TorchScript ({error}); download it again") from error


def _load_state(weights: Path) -> nn.Module:
    with torch.device("meta"):
        network = I3d()
    expected = network.state_dict()
    # files of early PyTorch lack the counters of batch norms, which an evaluation does not use
    counters = {name: torch.tensor(0) for name in expected if name.endswith("num_batches_tracked")}
    state = {**counters, **read_weights(weights)}
    refuse_other_weights(expected, state, weights, _NAMES)
    network.load_state_dict(state, assign=True)
    return network.float().eval().requires_grad_(False)


class I3d(nn.Module):
    """Inception-v1 with 3-D convolutions, and the names of its PyTorch ports; 12,697,264 parameters."""

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

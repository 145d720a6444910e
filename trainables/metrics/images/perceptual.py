"""Perceptual metrics, LPIPS and DISTS, from the weights files that the settings name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
import torchvision
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from data_pipelines.readers.bad_file import BadFileError
from trainables.contract.external_weights import read_weights, refuse_other_weights

_FILES = {
    "lpips": "alex.pth or vgg.pth of the official repository of LPIPS",
    "dists": "weights.pt of the official repository of DISTS",
    "alexnet": "alexnet-owt-7be5be79.pth of torchvision",
    "vgg16": "vgg16-397923af.pth of torchvision",
}
BackboneName = Literal["alexnet", "vgg16"]
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and deviation of red, green and blue in -1..1."""
_LINEAR = "lin{}.model.1.weight"
_EPSILON = 1e-10
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours in 0..1."""
_C1 = _C2 = 1e-6


def load_perceptual(
    metrics: Collection[str], files: Mapping[str, Path | None], device: torch.device
) -> dict[str, nn.Module]:
    """Load the networks of those metrics that are asked for, by name.

    `metrics` have lpips and dists among them or not; `files` are the settings `workload.evaluation.perceptual`.

    Raises:
        ValueError: A file is missing, with its setting, or holds other weights.
    """
    networks: dict[str, nn.Module] = {}
    try:
        if "lpips" in metrics:
            linear = _require(files, "lpips")
            networks["lpips"] = Lpips(linear, _require(files, find_backbone(linear)))
        if "dists" in metrics:
            networks["dists"] = Dists(_require(files, "dists"), _require(files, "vgg16"))
    except ValueError as error:
        raise ValueError(f"`workload.evaluation.perceptual`: {error}") from error
    return {name: network.to(device) for name, network in networks.items()}


def _require(files: Mapping[str, Path | None], name: str) -> Path:
    path = files[name]
    if path is None or not path.is_file():
        fault = "is not given" if path is None else f"names no file, {path}"
        raise ValueError(f"`{name}` {fault}; expected {_FILES[name]}")
    return path


@dataclass(frozen=True)
class Backbone:
    """Division of a network's `features` into stages; each ends with the ReLU whose values are compared."""

    cuts: tuple[int, ...]
    channels: tuple[int, ...]
    smallest: int
    """Side of the smallest image that reaches the last stage, in pixels."""
    kind: str
    """Name of its weights file, for a message."""


BACKBONES: dict[str, Backbone] = {
    "alexnet": Backbone(
        (0, 2, 5, 8, 10, 12), (64, 192, 384, 256, 256), 31, "AlexNet of torchvision, alexnet-owt-7be5be79.pth"
    ),
    "vgg16": Backbone((0, 4, 9, 16, 23, 30), (64, 128, 256, 512, 512), 16, "VGG-16 of torchvision, vgg16-397923af.pth"),
}


def load_stages(name: BackboneName, weights: Path) -> nn.ModuleList:
    """Load the five stages from torchvision's state dict, with or without the classifier, in eval mode.

    Raises ValueError for a file that holds other weights.
    """
    backbone = BACKBONES[name]
    with torch.device("meta"):
        features: nn.Sequential = getattr(torchvision.models, name)(weights=None).features
    given = {key: value for key, value in read_weights(weights).items() if not key.startswith("classifier.")}
    expected = {f"features.{key}": value for key, value in features.state_dict().items()}
    refuse_other_weights(expected, given, weights, f"state dict of {backbone.kind}")
    features.load_state_dict(
        {key.removeprefix("features."): value.float() for key, value in given.items()}, assign=True
    )
    stages = [features[start:stop] for start, stop in pairwise(backbone.cuts)]
    return nn.ModuleList(stages).eval().requires_grad_(False)


class Lpips(nn.Module):
    """Learned perceptual image patch similarity (Zhang et al. 2018), version 0.1: 0 for equal images, less is better.

    Args:
        linear: `alex.pth` or `vgg.pth` of the official repository; its sizes name the backbone, see `find_backbone`.
        backbone: torchvision's weights of that network.
    """

    def __init__(self, linear: Path, backbone: Path) -> None:
        super().__init__()
        self.name = find_backbone(linear)
        self.stages = load_stages(self.name, backbone)
        for number, weight in enumerate(_read_linear(linear)):
            self.register_buffer(f"weight_{number}", weight.float())

    @torch.no_grad()
    def forward(
        self, image: UInt8[Tensor, "3 height width"], truth: UInt8[Tensor, "3 height width"]
    ) -> Float[Tensor, ""]:
        """Compute the distance, eq. 1, with the weights of the file for the squared ones: sum of the stages' means.

        Raises ValueError for images that are too small for the network.
        """
        smallest = BACKBONES[self.name].smallest
        if min(image.shape[-2:]) < smallest:
            raise ValueError(
                f"lpips in {self.name} needs images of at least {smallest}x{smallest} pixels, "
                f"these are {image.shape[-1]}x{image.shape[-2]}"
            )
        shift, scale = (torch.tensor(each, device=image.device).view(3, 1, 1) for each in (_SHIFT, _SCALE))
        features = (torch.stack([image, truth]).float() / 127.5 - 1 - shift) / scale
        distance = torch.zeros((), dtype=torch.float64, device=image.device)
        for number, stage in enumerate(self.stages):
            features = stage(features)
            x, y = features / (features.norm(dim=1, keepdim=True) + _EPSILON)
            distance += (self.get_buffer(f"weight_{number}") * (x - y).square()).sum(dim=0).mean()
        return distance


def find_backbone(linear: Path) -> BackboneName:
    """Return the network that a file of linear layers belongs to. Raises ValueError for a file of anything else."""
    channels = tuple(weight.numel() for weight in _read_linear(linear))
    found: list[BackboneName] = [name for name in ("alexnet", "vgg16") if BACKBONES[name].channels == channels]
    if not found:
        raise BadFileError(linear, f"has linear layers of {channels} channels; give alex.pth or vgg.pth")
    return found[0]


def _read_linear(file: Path) -> list[Tensor]:
    """Return the weights of each stage's channels, [channels, 1, 1]."""
    weights = read_weights(file)
    names = [_LINEAR.format(number) for number in range(5)]
    if set(weights) != set(names):
        raise BadFileError(
            file,
            f"holds no linear layers of LPIPS, {names[0]} to {names[-1]}; give alex.pth or vgg.pth of its official "
            "repository (lpips/weights/v0.1)",
        )
    return [weights[name].reshape(-1, 1, 1) for name in names]


class Dists(nn.Module):
    """Deep image structure and texture similarity (Ding et al. 2020) in VGG-16: 0 for equal images, less is better.

    `weights` is `weights.pt` of the official repository: `alpha` of the textures and `beta` of the structures;
    `backbone` has torchvision's weights of VGG-16.
    """

    def __init__(self, weights: Path, backbone: Path) -> None:
        super().__init__()
        self.stages = load_stages("vgg16", backbone)
        given = read_weights(weights)
        expected = {name: torch.empty(1, 3 + sum(BACKBONES["vgg16"].channels), 1, 1) for name in ("alpha", "beta")}
        refuse_other_weights(expected, given, weights, "weights.pt of DISTS's official repository")
        total = given["alpha"].double().sum() + given["beta"].double().sum()
        self.register_buffer("alpha", given["alpha"].double().flatten() / total)
        self.register_buffer("beta", given["beta"].double().flatten() / total)

    @torch.no_grad()
    def forward(
        self, image: UInt8[Tensor, "3 height width"], truth: UInt8[Tensor, "3 height width"]
    ) -> Float[Tensor, ""]:
        """Compute the distance of the images at their own size.

        Each channel's mean and variance over the image are its texture, the covariance of both images its structure.
        """
        pair = torch.stack([image, truth]).float() / 255
        mean, deviation = (torch.tensor(each, device=image.device).view(3, 1, 1) for each in (_MEAN, _DEVIATION))
        similarity = [_compare(pair)]
        features = (pair - mean) / deviation
        for number, stage in enumerate(self.stages):
            assert isinstance(stage, nn.Sequential)
            features = stage(features) if number == 0 else stage[1:](_pool(features))
            similarity.append(_compare(features))
        texture, structure = torch.cat(similarity, dim=1)
        return 1 - (self.get_buffer("alpha") * texture + self.get_buffer("beta") * structure).sum()


def _pool(features: Float[Tensor, "2 channels height width"]) -> Float[Tensor, "2 channels half_height half_width"]:
    """Pool by the L2 norm under a 3x3 Hanning window with stride 2, where VGG takes maxima."""
    row = torch.tensor([0.25, 0.5, 0.25], device=features.device)
    window = torch.outer(row, row).expand(features.shape[1], 1, 3, 3)
    blurred = functional.conv2d(features.square(), window, stride=2, padding=1, groups=features.shape[1])
    return (blurred + 1e-12).sqrt()


def _compare(features: Float[Tensor, "2 channels height width"]) -> Float[Tensor, "2 channels"]:
    """Compute the similarities of textures and of structures of each channel, of which 1 is the largest."""
    x, y = features.double().flatten(2)
    mean_x, mean_y = x.mean(dim=1), y.mean(dim=1)
    x, y = x - mean_x[:, None], y - mean_y[:, None]
    var_x, var_y, covariance = x.square().mean(dim=1), y.square().mean(dim=1), (x * y).mean(dim=1)
    texture = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return torch.stack([texture, structure])

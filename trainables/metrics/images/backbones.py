"""The convolutions of torchvision's AlexNet and VGG-16, in whose features perceptual metrics compare images."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
import torchvision
from torch import nn

from trainables.contract.external_weights import read_weights, refuse_other_weights

BackboneName = Literal["alexnet", "vgg16"]


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

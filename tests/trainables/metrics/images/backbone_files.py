"""Weights files with random numbers, as torchvision and the official repositories lay them out."""

from pathlib import Path

import torch
import torchvision
from torch import Tensor

CHANNELS = {"alexnet": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}


def save_backbone(path: Path, name: str) -> dict[str, Tensor]:
    """Write torchvision's state dict without the large classifier, but for one of its weights; returns it."""
    torch.manual_seed(3)
    with torch.device("meta"):
        shapes = getattr(torchvision.models, name)(weights=None).features.state_dict()
    state = {f"features.{key}": torch.randn(value.shape) * 0.05 for key, value in shapes.items()}
    torch.save(state | {"classifier.1.weight": torch.zeros(2, 2)}, path)
    return state


def save_linear(path: Path, name: str) -> list[Tensor]:
    """Write the linear layers of LPIPS; returns their weights."""
    torch.manual_seed(4)
    weights = [torch.rand(1, channels, 1, 1) for channels in CHANNELS[name]]
    torch.save({f"lin{number}.model.1.weight": weight for number, weight in enumerate(weights)}, path)
    return weights


def save_dists(path: Path) -> dict[str, Tensor]:
    """Write alpha and beta of DISTS; returns them."""
    torch.manual_seed(5)
    state = {name: torch.rand(1, 1475, 1, 1) for name in ("alpha", "beta")}
    torch.save(state, path)
    return state

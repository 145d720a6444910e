"""The networks of the perceptual metrics, from the weights files that the settings name."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import nn

from trainables.metrics.images.dists import Dists
from trainables.metrics.images.lpips import Lpips, find_backbone

_FILES = {
    "lpips": "alex.pth or vgg.pth of the official repository of LPIPS",
    "dists": "weights.pt of the official repository of DISTS",
    "alexnet": "alexnet-owt-7be5be79.pth of torchvision",
    "vgg16": "vgg16-397923af.pth of torchvision",
}


def load_perceptual(
    metrics: Collection[str], files: Mapping[str, Path | None], device: torch.device
) -> dict[str, nn.Module]:
    """Load the networks of those metrics that are asked for, by name.

    Args:
        metrics: Names of metrics, among them lpips and dists or not.
        files: The settings `workload.evaluation.perceptual`.
        device: Where they are to compute.

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

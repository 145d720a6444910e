"""Learned perceptual image patch similarity, LPIPS (Zhang et al. 2018), version 0.1, in AlexNet or VGG-16."""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from data_pipelines.readers.bad_file import BadFileError
from trainables.contract.external_weights import read_weights
from trainables.metrics.images.backbones import BACKBONES, BackboneName, load_stages

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and deviation of red, green and blue in -1..1."""
_LINEAR = "lin{}.model.1.weight"
_EPSILON = 1e-10


class Lpips(nn.Module):
    """Distance of two images: 0 for equal ones, the smaller the better.

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

"""Deep image structure and texture similarity, DISTS (Ding et al. 2020), in VGG-16."""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from trainables.contract.external_weights import read_weights, refuse_other_weights
from trainables.metrics.images.backbones import BACKBONES, load_stages

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours in 0..1."""
_CHANNELS = (3, *BACKBONES["vgg16"].channels)
_C1 = _C2 = 1e-6


class Dists(nn.Module):
    """Distance of two images: 0 for equal ones, the smaller the better.

    `weights` is `weights.pt` of the official repository: `alpha` of the textures and `beta` of the structures;
    `backbone` has torchvision's weights of VGG-16.
    """

    def __init__(self, weights: Path, backbone: Path) -> None:
        super().__init__()
        self.stages = load_stages("vgg16", backbone)
        given = read_weights(weights)
        expected = {name: torch.empty(1, sum(_CHANNELS), 1, 1) for name in ("alpha", "beta")}
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

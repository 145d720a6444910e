"""Mean shift: subtracts or adds the mean colour, as a frozen convolution like in the published networks."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.workloads.super_resolution.network_config import RgbMean


class MeanShift(nn.Conv2d):
    """Convolution that adds `sign` times the mean colour; a 1x1 convolution so that parameter counts and files match.

    It computes in float32, also under autocast: bfloat16 would round colours in 0..255 to 8 bits, a grey level or more.
    """

    def __init__(self, rgb_mean: RgbMean, *, sign: int, rgb_range: float = 1.0) -> None:
        super().__init__(3, 3, 1)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            assert self.bias is not None
            self.bias.copy_(sign * rgb_range * torch.tensor(rgb_mean))
        self.requires_grad_(False)

    def forward(self, input: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Return the shifted colours, in the weight's own precision."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))

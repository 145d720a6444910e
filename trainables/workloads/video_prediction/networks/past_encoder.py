"""Encoder of the past frames to one feature map: 3-D convolutions, then the mean over time."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from trainables.workloads.video_prediction.network_config import PastEncoder


class PastFrames(nn.Module):
    """Encoder of the past frames; 5,536,000 parameters with 256 channels, 4 layers and latents of 4 channels.

    Zeros beyond the first and last frame show the convolutions the position in time, so that the mean over time still
    holds the direction of a motion.
    """

    def __init__(self, config: PastEncoder, channels: int) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        layers: list[nn.Module] = []
        width = channels * config.patch_size**2
        for _ in range(config.num_layers):
            layers += [nn.Conv3d(width, config.channels, 3, padding=1)]
            layers += [nn.GroupNorm(config.num_groups, config.channels), nn.SiLU()]
            width = config.channels
        layers.append(nn.Conv3d(width, config.channels, (3, 1, 1), padding=(1, 0, 0)))
        self.layers = nn.Sequential(*layers)

    def forward(self, past: Float[Tensor, "batch time channels height width"]) -> Float[Tensor, "batch features h w"]:
        """Return a map of the frames' resolution over `patch_size`."""
        patches = functional.pixel_unshuffle(past.flatten(0, 1), self.patch_size).unflatten(0, past.shape[:2])
        return self.layers(patches.transpose(1, 2)).mean(dim=2)

"""Latents of a frozen autoencoder as the space of prediction; its weights come from a folder given by the user."""

from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from data_pipelines.contract.row_draws import TorchDraws
from trainables.contract.external_weights import read_weights, refuse_other_weights
from trainables.workloads.video_prediction.autoencoder import VaeShape, find_weights, given_folder, read_shape
from trainables.workloads.video_prediction.config import Latents
from trainables.workloads.video_prediction.networks.vae import Vae

_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
_FRAMES_PER_CALL = 8
"""Frames in one call of the autoencoder, which needs much memory at full resolution."""


class LatentSpace:
    """Space of latents times `scale`, of frames in -1..1; the autoencoder is not trained, saved or averaged.

    The autoencoder computes in single precision even where the training does not.
    """

    is_bounded = False

    def __init__(self, settings: Latents, *, height: int, width: int) -> None:
        self._vae, shape = load_vae(given_folder(settings.weights))
        self._settings = settings
        if height % shape.factor or width % shape.factor:
            raise ValueError(
                f"frames of {height}x{width} do not divide into latents of {shape.factor}x{shape.factor} pixels"
            )
        self.channels, self.height, self.width = shape.latent_channels, height // shape.factor, width // shape.factor

    def encode(self, frames: Tensor, draws: TorchDraws | None = None) -> Tensor:
        """Convert 0..255 to scaled latents: the posterior's mean, or as `posterior` asks when draws are given."""
        moments = self.moments(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return take_latents(moments, "mean" if draws is None else self._settings.posterior, draws)

    @torch.no_grad()
    def moments(self, frames: UInt8[Tensor, "count 3 height width"]) -> Float[Tensor, "count moments h w"]:
        """Return scaled means, then scaled standard deviations."""
        vae = self._vae.to(frames.device)
        with torch.autocast(frames.device.type, enabled=False):
            parts = [vae.encode(part.float() / 127.5 - 1) for part in frames.split(_FRAMES_PER_CALL)]
        return torch.cat(parts) * self._settings.scale

    @torch.no_grad()
    def decode(self, encoded: Tensor) -> Tensor:
        """Convert scaled latents to 0..1."""
        vae, latents = self._vae.to(encoded.device), encoded.flatten(0, 1).float() / self._settings.scale
        with torch.autocast(encoded.device.type, enabled=False):
            images = torch.cat([vae.decode(part) for part in latents.split(_FRAMES_PER_CALL)])
        return ((images + 1) / 2).clamp(0, 1).unflatten(0, encoded.shape[:2])


def take_latents(
    moments: Float[Tensor, "batch time moments h w"],
    posterior: Literal["mean", "sample"],
    draws: TorchDraws | None,
) -> Float[Tensor, "batch time features h w"]:
    """Return the means, or one sample of each posterior."""
    mean, deviation = moments.chunk(2, dim=2)
    if posterior == "mean":
        return mean
    assert draws is not None, "a sample needs draws"
    return mean + deviation * draws.normal(*mean.shape[1:])


def load_vae(folder: Path) -> tuple[Vae, VaeShape]:
    """Load a frozen autoencoder from a folder in diffusers' form: `config.json` and the weights.

    Raises ValueError naming the file and the weights that are missing, unknown or of another shape.
    """
    shape, file = read_shape(folder), find_weights(folder)
    with torch.device("meta"):
        vae = Vae(shape)
    weights = _adapt(read_weights(file))
    refuse_other_weights(vae.state_dict(), weights, file, "autoencoder of this shape")
    vae.load_state_dict(weights, assign=True)
    return vae.float().eval().requires_grad_(False), shape


def _adapt(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the attention weights of older files, and reshape those stored as 1x1 convolutions."""
    adapted: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)
        is_matrix = ".attentions." in name and name.endswith("weight") and tensor.ndim == 4
        adapted[name] = tensor[:, :, 0, 0] if is_matrix else tensor
    return adapted

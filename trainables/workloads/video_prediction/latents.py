"""Latents of a frozen autoencoder as the space of prediction; its weights come from a folder that the user gives."""

import json
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from trainables.workloads.video_prediction.networks.vae import Vae, VaeShape

_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


class LatentSpace:
    """Latents times `scale`, of frames in -1..1; nothing of it is trained, saved or averaged."""

    is_bounded = False

    def __init__(self, folder: Path, scale: float, *, height: int, width: int) -> None:
        self._vae, shape = load_vae(folder)
        self._scale = scale
        if height % shape.factor or width % shape.factor:
            raise ValueError(
                f"frames of {height}x{width} do not divide into latents of {shape.factor}x{shape.factor} pixels"
            )
        self.channels, self.height, self.width = shape.latent_channels, height // shape.factor, width // shape.factor

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """0..255 to scaled latents."""
        vae = self._vae.to(frames.device)
        images = frames.flatten(0, 1).float() / 127.5 - 1
        return (vae.encode(images) * self._scale).unflatten(0, frames.shape[:2])

    @torch.no_grad()
    def decode(self, encoded: Tensor) -> Tensor:
        """Scaled latents to 0..1."""
        images = self._vae.to(encoded.device).decode(encoded.flatten(0, 1).float() / self._scale)
        return ((images + 1) / 2).clamp(0, 1).unflatten(0, encoded.shape[:2])


def load_vae(folder: Path) -> tuple[Vae, VaeShape]:
    """A frozen autoencoder from a folder in the form of diffusers: `config.json` and the weights.

    Raises ValueError naming the file and the weights that are missing, unknown or of another shape.
    """
    shape = _read_shape(folder / "config.json")
    file = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        raise ValueError(f"{folder} holds neither {_WEIGHTS[0]} nor {_WEIGHTS[1]}; give an autoencoder's own folder")
    with torch.device("meta"):
        vae = Vae(shape)
    weights = _adapt(_read_weights(file))
    _refuse_other(vae.state_dict(), weights, file)
    vae.load_state_dict(weights, assign=True)
    return vae.float().eval().requires_grad_(False), shape


def _read_shape(file: Path) -> VaeShape:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        values = {name: settings[name] for name in VaeShape._fields if name in settings}
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{file}: cannot be read ({error}); give the folder of an autoencoder as diffusers saves it"
        ) from error
    if "block_out_channels" not in values:
        raise ValueError(f"{file}: has no `block_out_channels`, so it does not describe an autoencoder (AutoencoderKL)")
    return VaeShape(**{**values, "block_out_channels": tuple(values["block_out_channels"])})


def _read_weights(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{file}: cannot be read as weights ({error}); download it again") from error


def _adapt(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Older files name the parts of attention otherwise, or hold its matrices as 1x1 convolutions."""
    adapted: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)
        is_matrix = ".attentions." in name and name.endswith("weight") and tensor.ndim == 4
        adapted[name] = tensor[:, :, 0, 0] if is_matrix else tensor
    return adapted


def _refuse_other(expected: dict[str, Tensor], found: dict[str, Tensor], file: Path) -> None:
    problems = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name} is unknown" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name].shape != found[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"{file}: is no autoencoder of this shape: {'; '.join(problems[:5])}{more}")

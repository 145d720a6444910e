"""Folder of a Stable-Diffusion autoencoder in diffusers' form: its shape and files, read without torch."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from data_pipelines.storage.checksums import hash_file

_SETTINGS = "config.json"
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


class VaeShape(NamedTuple):
    """Shape in the `config.json` beside the weights; the defaults are those of Stable Diffusion 1 and 2."""

    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    latent_channels: int = 4
    norm_num_groups: int = 32
    in_channels: int = 3

    @property
    def factor(self) -> int:
        """Pixels per latent, along each side."""
        return 2 ** (len(self.block_out_channels) - 1)


def given_folder(folder: Path | None) -> Path:
    """Return the folder in the settings. Raises ValueError when there is none."""
    if folder is None:
        raise ValueError(
            "`workload.latents.weights` is needed: the folder of a Stable-Diffusion autoencoder as diffusers saves it "
            f"({_SETTINGS} and {_WEIGHTS[0]})"
        )
    return folder


def read_shape(folder: Path) -> VaeShape:
    """Read the shape. Raises ValueError naming the file when it does not describe an autoencoder."""
    file = folder / _SETTINGS
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


def find_weights(folder: Path) -> Path:
    """Return the weights file. Raises ValueError when the folder holds none."""
    file = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        raise ValueError(f"{folder} holds neither {_WEIGHTS[0]} nor {_WEIGHTS[1]}; give an autoencoder's own folder")
    return file


def hash_autoencoder(folder: Path) -> str:
    """Return the SHA-256 over the shape and the weights."""
    digest = hashlib.sha256(json.dumps(read_shape(folder)).encode())
    digest.update(bytes.fromhex(hash_file(find_weights(folder))))
    return digest.hexdigest()

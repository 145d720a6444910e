"""The I3D features of the published FVD (Carreira and Zisserman 2017), from a weights file given by the user."""

import warnings
import zipfile
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from trainables.contract.external_weights import read_weights, refuse_other_weights
from trainables.metrics.generative.i3d_network import NUM_CLASSES, I3d

SIDE = 224
_NAMES = "i3d_torchscript.pt of StyleGAN-V, or the state dict of a PyTorch port of I3D (RGB, Kinetics-400)"


class I3dFeatures(nn.Module):
    """Network from clips to the 400 logits, before the softmax.

    A script resizes and scales by itself; for a state dict frames are resized bilinearly to 224x224, not cropped. FVD
    depends on such details, so values of the two kinds of files are no more comparable than those of other programs.
    """

    feature_dim = NUM_CLASSES

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self._is_script = is_script(weights)
        self.network = _load_script(weights) if self._is_script else _load_state(weights)

    @torch.no_grad()
    def forward(self, clips: UInt8[Tensor, "batch time channels height width"]) -> Float[Tensor, "batch features"]:
        """Return features of clips of at least 9 frames of any size, levels 0 to 255.

        Grey is repeated to three channels.
        """
        if clips.shape[2] == 1:
            clips = clips.expand(-1, -1, 3, -1, -1)
        with torch.autocast(clips.device.type, enabled=False):
            if self._is_script:
                videos = clips.transpose(1, 2).float()
                return self.network(videos, rescale=True, resize=True, return_features=True)
            return self.network(to_input(clips))


def to_input(
    clips: UInt8[Tensor, "batch time 3 height width"],
) -> Float[Tensor, "batch 3 time side side"]:
    """Resize clips and scale them to -1..1."""
    frames = functional.interpolate(clips.flatten(0, 1).float(), (SIDE, SIDE), mode="bilinear", align_corners=False)
    return frames.unflatten(0, clips.shape[:2]).transpose(1, 2) / 127.5 - 1


def is_script(weights: Path) -> bool:
    """Return whether the file is a TorchScript archive; ValueError when there is no file."""
    if not weights.is_file():
        raise ValueError(f"no I3D weights at {weights}; give {_NAMES}")
    if not zipfile.is_zipfile(weights):
        return False
    with zipfile.ZipFile(weights) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _load_script(weights: Path) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch recommends another form of file
            return torch.jit.load(weights, map_location="cpu").eval()
    except RuntimeError as error:
        raise ValueError(f"{weights}: cannot be read as TorchScript ({error}); download it again") from error


def _load_state(weights: Path) -> nn.Module:
    with torch.device("meta"):
        network = I3d()
    expected = network.state_dict()
    # files of early PyTorch lack the counters of batch norms, which an evaluation does not use
    counters = {name: torch.tensor(0) for name in expected if name.endswith("num_batches_tracked")}
    state = {**counters, **read_weights(weights)}
    refuse_other_weights(expected, state, weights, _NAMES)
    network.load_state_dict(state, assign=True)
    return network.float().eval().requires_grad_(False)

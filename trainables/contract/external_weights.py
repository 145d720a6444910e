"""External weights: read from files without running code in them, and refused by name when they do not fit."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

_NUM_LISTED = 5


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors or a file of `torch.save`. Raises ValueError naming the file."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{file}: cannot be read as weights ({error}); download it again") from error


def refuse_other_weights(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], file: Path, what: str) -> None:
    """Raise ValueError unless `found` has the names and shapes of `expected`.

    Args:
        expected: The network's state dict.
        found: Weights of the file.
        file: The file, for the message.
        what: Kind of weights, for the message, which lists the first differences.
    """
    problems = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name} is unknown" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name].shape != found[name].shape
    ]
    if problems:
        more = f" and {len(problems) - _NUM_LISTED} more" if len(problems) > _NUM_LISTED else ""
        raise ValueError(f"{file}: is no {what}: {'; '.join(problems[:_NUM_LISTED])}{more}")

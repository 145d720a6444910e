"""External weights: read from files without running code in them, and refused by name when they do not fit."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.torch import load_file
from torch import Tensor

from data_pipelines.readers.bad_file import BadFileError, describe_content, few, refuse_unopenable

_NUM_LISTED = 5
_WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training programs keep the weights in their checkpoints."""
_WANTED = "give a state dict, as safetensors or as torch.save writes it"


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors or a file of `torch.save`, also from under a usual key of a checkpoint.

    The content decides on the format, not the name. Raises BadFileError, a ValueError, for a file that holds no
    weights, only a part of them, or values that are not finite.
    """
    tensors = _unwrap(file, read_saved(file))
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise BadFileError(
            file,
            f"holds values that are not finite, in {len(broken)} of {len(tensors)} tensors ({few(broken)}); give "
            "weights of a training that did not fail",
        )
    return tensors


def read_saved(file: Path) -> Any:
    """Read what safetensors or `torch.save` wrote, without running code. Raises BadFileError for any other file."""
    refuse_unopenable(file)
    is_safetensors = _read_head(file, 9)[8:] == b"{"
    try:
        if is_safetensors:
            return load_file(file)
        with file.open("rb") as stream:  # by the path torch would choose the format by the name
            return torch.load(stream, map_location="cpu", weights_only=True)
    except MemoryError as error:  # a damaged length asks for more than the file has
        if 2 * file.stat().st_size > psutil.virtual_memory().available:
            raise
        raise BadFileError(file, _describe_fault(file, is_safetensors=is_safetensors)) from error
    except Exception as error:  # readers raise anything for a file of another kind
        raise BadFileError(file, _describe_fault(file, is_safetensors=is_safetensors)) from error


def _describe_fault(file: Path, *, is_safetensors: bool) -> str:
    cut = "is damaged or cut short, as a failed download leaves it; get it again"
    objects = (
        "holds Python objects beside weights, such as a whole module or the settings of a training, which are not "
        f"loaded, as they may run code; {_WANTED}"
    )
    if is_safetensors:
        return cut
    kind = describe_content(file)
    if kind.startswith("a web page"):
        start = _read_head(file, 40).decode("ascii", "backslashreplace").strip().partition("\n")[0]
        return f"is no file of weights: it is {kind} (it begins with {start}); get it again, with its full size"
    if kind == "a pickle":
        return f"is damaged, or {objects}"
    if kind != "a zip archive":
        return f"is no file of weights: it is {kind}; {_WANTED}"
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):  # damaged in its list of contents
        return cut
    if not any(name.endswith("data.pkl") for name in names):
        return f"is no file of weights: it is {kind} ({few(names)}); {_WANTED}, unpacked"
    return objects


def _read_head(file: Path, num_bytes: int) -> bytes:
    with file.open("rb") as stream:
        return stream.read(num_bytes)


def _unwrap(file: Path, content: Any) -> dict[str, Tensor]:
    for name in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    tensors = {str(name): value for name, value in content.items()} if isinstance(content, dict) else {}
    tensors = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    if not tensors:
        found = f"a dictionary of {few(content)}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise BadFileError(file, f"holds no weights by name but {found}; {_WANTED}")
    return tensors


def refuse_other_weights(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], file: Path, what: str) -> None:
    """Raise ValueError unless `found` has the names and shapes of `expected`.

    `what` is the kind of weights, for the message, which lists the first differences.
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

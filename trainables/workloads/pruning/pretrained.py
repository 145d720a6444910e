"""Pretrained weights: timm's names for vision transformers, the usual ones for CIFAR ResNets."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from trainables.contract.external_weights import read_weights
from trainables.workloads.pruning.networks.normalisation import IMAGENET, ChannelStatistics

SMALLEST_QKV_STD = 0.05
"""Least deviation of trained transformers' first qkv weights; a random initialisation has 0.02."""
_INPUT_AND_OUTPUT = ("patch_embed.", "pos_embed", "cls_token", "head.", "fc.", "normalize.")
"""Prefixes of tensors that depend on the image size and the classes, so they may differ."""
_LAYERS = ("blocks.", "layer")
TRAINED_WITH: dict[str, ChannelStatistics] = dict.fromkeys(("12fca82f", "d509ac18", "014dd654", "4bfd9763"), IMAGENET)
"""Normalisation of published weights by the first eight digits of their file's SHA-256: resnet20-12fca82f.th and its
siblings of 32, 44 and 56 layers (akamaster/pytorch_resnet_cifar10, whose trainer names ImageNet's values)."""


def load_pretrained(network: nn.Module, path: Path) -> list[str]:
    """Copy every tensor with the same name and shape into `network`; returns their names.

    Raises ValueError when the file cannot be read, nothing matches, a tensor inside the network is missing or of
    another size, or the weights are untrained.
    """
    given, expected = read_pretrained(path), network.state_dict()
    matching = [name for name in expected if name in given and given[name].shape == expected[name].shape]
    inside = [name for name in expected if not name.startswith(_INPUT_AND_OUTPUT) and expected[name].ndim]
    wrong = [name for name in inside if name not in matching]
    wrong += [name for name in given if name.startswith(_LAYERS) and name not in expected]
    if not matching or wrong:
        raise ValueError(_explain(path, given, expected, matching, wrong))
    _refuse_untrained(path, given)
    network.load_state_dict({name: given[name].to(expected[name].dtype) for name in matching}, strict=False)
    return matching


def find_normalisation(path: Path) -> ChannelStatistics | None:
    """Return what these weights were trained with: the file's own mean and deviation, else those of known files."""
    given = read_pretrained(path)
    if {"normalize.mean", "normalize.std"} <= given.keys():
        return given["normalize.mean"].tolist(), given["normalize.std"].tolist()
    return TRAINED_WITH.get(hashlib.sha256(path.read_bytes()).hexdigest()[:8])


def classifies(matching: Collection[str]) -> bool:
    """Return whether the classifier is among the tensors taken, so that the network can be judged untrained."""
    return "fc.weight" in matching or "head.weight" in matching


def _explain(
    path: Path, given: Mapping[str, Tensor], expected: Mapping[str, Tensor], matching: list[str], wrong: list[str]
) -> str:
    lines = [f"`workload.pretrained` {path} does not fit the network: {len(matching)} of {len(expected)} tensors match"]
    for name in wrong[:5]:
        there, here = (str(tuple(side[name].shape)) if name in side else "none" for side in (given, expected))
        lines.append(f"  {name}: {there} there, {here} here")
    names = ", ".join(list(given)[:3])
    return "\n".join([*lines, f"give weights of the same architecture and size (the file's names begin with {names})"])


def read_pretrained(path: Path) -> dict[str, Tensor]:
    """Read a plain state dict, without wrappers and prefixes. Raises ValueError when the file holds no usable weights.

    It takes no network, so a bad file is refused before a run begins.
    """
    try:
        tensors = read_weights(path)
    except ValueError as error:
        raise ValueError(f"`workload.pretrained` {error}") from error
    plain = {name.removeprefix("module."): value for name, value in tensors.items()}
    return {name.replace("linear.", "fc.", 1) if name.startswith("linear.") else name: v for name, v in plain.items()}


def _refuse_untrained(path: Path, given: Mapping[str, Tensor]) -> None:
    qkv = given.get("blocks.0.attn.qkv.weight")
    if qkv is not None and float(qkv.float().std()) <= SMALLEST_QKV_STD:
        raise ValueError(
            f"`workload.pretrained` {path}: blocks.0.attn.qkv.weight has a standard deviation of "
            f"{float(qkv.float().std()):.3f}, that of a random initialisation; trained weights exceed "
            f"{SMALLEST_QKV_STD}"
        )

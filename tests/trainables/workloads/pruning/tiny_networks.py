"""Small networks with unlike units, their masked twins, and one-process collectives: for the tests of pruning."""

from typing import Any

import torch
from torch import Tensor, nn

from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network, find_groups
from trainables.workloads.pruning.networks.resnet import PaddedShortcut

CPU = torch.device("cpu")
ARCHS = ("res20s", "res18", "vit_tiny")
Kept = dict[str, list[int]]


def tiny(arch: str, num_classes: int = 4) -> Blueprint:
    """The real architecture for grey images of 8x8."""
    return Blueprint(arch, 1, 8, 8, num_classes, patch_size=4)


def lively(blueprint: Blueprint, seed: int = 0) -> nn.Module:
    """Random weights, biases and running statistics, so that no unit is like another; in eval mode."""
    network = build_network(blueprint, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1 and not name.startswith("normalize"):
            noise = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(0.5 + noise if name.endswith(("var", "weight")) else noise - 0.3)
    return network.eval()


def images(count: int = 6, seed: int = 1) -> Tensor:
    return torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def some_units(blueprint: Blueprint, seed: int = 2, kinds: tuple[str, ...] = ()) -> Kept:
    """About two thirds of the units of every group, and one of the first."""
    generator = torch.Generator().manual_seed(seed)
    kept: Kept = {}
    for group in find_groups(blueprint):
        if kinds and group.kind not in kinds:
            continue
        order = torch.randperm(group.num_units, generator=generator)
        count = max(1, 2 * group.num_units // 3) if kept else 1
        kept[group.name] = sorted(order[:count].tolist())
    return kept


def mask_units(network: nn.Module, blueprint: Blueprint, kept: Kept) -> None:
    """Set all that belongs to the other units to zero, in a network of the same shape."""
    state = network.state_dict()
    for group in find_groups(blueprint):
        going = sorted(set(range(group.num_units)) - set(kept.get(group.name, range(group.num_units))))
        for member in group.members:
            for unit in going:
                for entry in member.index[unit].tolist():
                    state[member.tensor].select(member.dim, entry).zero_()
        _mask_shortcut(network, group.name, going)


def _mask_shortcut(network: nn.Module, layer: str, going: list[int]) -> None:
    """The padded shortcut has no weights that could be zero, so its channels are pointed at the zero channel."""
    modules = dict(network.named_modules())
    shortcut = modules.get(f"{layer}.0.shortcut")
    if isinstance(shortcut, PaddedShortcut):
        shortcut.source[going] = modules[f"{layer}.0.conv1"].in_channels  # pyright: ignore


class Alone:
    """Collectives of one process."""

    rank, world_size = 0, 1

    def sum(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def gather(self, tensor: Tensor) -> Tensor:
        return tensor

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        return tensor

    def counts(self, count: int) -> list[int]:
        return [count]

    def gather_values(self, value: Any) -> list[Any]:
        return [value]

    def broadcast(self, value: Any) -> Any:
        return value

"""Physical removal of units: the state of a smaller network from that of a larger one."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network, find_groups
from trainables.workloads.pruning.networks.units import UnitGroup

Kept = Mapping[str, Sequence[int]]
"""For each group the indices of the units that stay, ascending; groups that are not named keep all units."""


def slice_state(state: Mapping[str, Tensor], groups: Sequence[UnitGroup], kept: Kept) -> dict[str, Tensor]:
    """Return the state without the other units' entries; new tensors where entries are removed."""
    sliced = dict(state)
    for group in groups:
        if group.name not in kept:
            continue
        places = torch.tensor(list(kept[group.name]), dtype=torch.int64)
        for member in group.members:
            entries = member.index[places].flatten().sort().values
            tensor = sliced[member.tensor]
            sliced[member.tensor] = tensor.index_select(member.dim, entries.to(tensor.device))
    return sliced


def shrink(blueprint: Blueprint, kept: Kept) -> Blueprint:
    """Return the blueprint without the other units."""
    numbers = dict(blueprint.kept)
    for group in find_groups(blueprint):
        if group.name in kept and len(kept[group.name]) < group.num_units:
            present = blueprint.positions(group.name, group.num_dense)
            numbers[group.name] = tuple(present[place] for place in kept[group.name])
    return blueprint.keeping(numbers)


def remove_units(network: nn.Module, blueprint: Blueprint, kept: Kept) -> tuple[nn.Module, Blueprint]:
    """Build a smaller network with the same weights, mode and device; the given one stays as it is."""
    state = slice_state(network.state_dict(), find_groups(blueprint), kept)
    smaller = shrink(blueprint, kept)
    return build_with(smaller, state).to(next(network.parameters()).device).train(network.training), smaller


def build_with(blueprint: Blueprint, state: Mapping[str, Tensor]) -> nn.Module:
    """Build the network of a blueprint with a copy of these weights."""
    network = build_network(blueprint)
    network.load_state_dict(state)
    return network


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """Copy the state to the CPU, with memory of its own, which training cannot change."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def rewind(snapshot: Mapping[str, Tensor], blueprint: Blueprint) -> nn.Module:
    """Build the network of a blueprint with the weights of the rewind point for the units that are left; on the CPU."""
    kept = {name: list(numbers) for name, numbers in blueprint.kept.items()}
    return build_with(blueprint, slice_state(snapshot, find_groups(blueprint.dense()), kept))

"""The rewind point: a copy of the dense network's state, from which every round starts."""

from collections.abc import Mapping

from torch import Tensor, nn

from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import find_groups
from trainables.workloads.pruning.selection.physical_removal import build_with, slice_state


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """Copy the state to the CPU, with memory of its own, which training cannot change."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def rewind(snapshot: Mapping[str, Tensor], blueprint: Blueprint) -> nn.Module:
    """Build the network of a blueprint with the weights of the rewind point for the units that are left; on the CPU."""
    kept = {name: list(numbers) for name, numbers in blueprint.kept.items()}
    return build_with(blueprint, slice_state(snapshot, find_groups(blueprint.dense()), kept))

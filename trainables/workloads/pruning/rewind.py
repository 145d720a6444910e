"""The rewind point: a copy of the dense network's state, from which every round starts."""

from collections.abc import Mapping

from torch import Tensor, nn

from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import find_groups
from trainables.workloads.pruning.selection.physical_removal import build_with, slice_state


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """On the CPU, with memory of its own: training must not reach it."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def rewind(snapshot: Mapping[str, Tensor], blueprint: Blueprint) -> nn.Module:
    """The network of a blueprint with the units of the rewind point that it still has; on the CPU."""
    kept = {name: list(numbers) for name, numbers in blueprint.kept.items()}
    return build_with(blueprint, slice_state(snapshot, find_groups(blueprint.dense()), kept))

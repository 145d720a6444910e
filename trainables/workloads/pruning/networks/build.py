"""Construction of a network from its blueprint, with its groups of units and its size."""

from dataclasses import dataclass

import torch
from torch import nn

from trainables.metrics.macs import count_macs
from trainables.workloads.pruning.networks import resnet, vit
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.resnet import ResNet, resnet_groups
from trainables.workloads.pruning.networks.units import UnitGroup
from trainables.workloads.pruning.networks.vit import VisionTransformer, vit_groups


def build_network(blueprint: Blueprint, seed: int = 0) -> nn.Module:
    """Build the network with weights drawn from `seed`; torch's global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the accelerators
        torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return _build(blueprint)


def find_groups(blueprint: Blueprint) -> list[UnitGroup]:
    """Return all groups of removable units, with their present entries."""
    return vit_groups(blueprint) if blueprint.arch in vit.SPECS else resnet_groups(blueprint)


def prunable_tensors(blueprint: Blueprint) -> list[str]:
    """Return the names of the weights that sparsity counts: every convolution but the stem, or qkv, proj, fc1, fc2."""
    members = [member for group in find_groups(blueprint) for member in group.members if member.is_prunable]
    return sorted({member.tensor for member in members})


@dataclass(frozen=True)
class NetworkSize:
    """Size of a network."""

    parameters: int
    macs: int
    """Multiply-accumulates of one image: convolutions, linear layers, attention products. FLOPs are twice as many."""
    prunable: int
    """Weights of `prunable_tensors`."""
    num_units: int
    """Units over all groups."""


def measure_size(blueprint: Blueprint) -> NetworkSize:
    """Measure the size on a network without memory (meta device)."""
    with torch.device("meta"):
        network = _build(blueprint).eval()
        images = torch.zeros(1, blueprint.channels, blueprint.height, blueprint.width)
    return NetworkSize(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=count_macs(network, images),
        prunable=sum(count_prunable(blueprint).values()),
        num_units=sum(group.num_units for group in find_groups(blueprint)),
    )


def count_prunable(blueprint: Blueprint) -> dict[str, int]:
    """Count the weights of each of `prunable_tensors`."""
    with torch.device("meta"):
        weights = _build(blueprint).state_dict()
    return {name: weights[name].numel() for name in prunable_tensors(blueprint)}


def _build(blueprint: Blueprint) -> nn.Module:
    if blueprint.arch in vit.SPECS:
        return VisionTransformer(blueprint)
    assert blueprint.arch in resnet.SPECS, blueprint.arch
    return ResNet(blueprint)

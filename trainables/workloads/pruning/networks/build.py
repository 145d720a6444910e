"""From a blueprint to a network, its groups of units, and its size."""

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
    """The network with weights drawn from `seed`; torch's global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the accelerators
        torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return _build(blueprint)


def find_groups(blueprint: Blueprint) -> list[UnitGroup]:
    """All groups of units that can be removed, with their present entries."""
    return vit_groups(blueprint) if blueprint.arch in vit.SPECS else resnet_groups(blueprint)


def prunable_tensors(blueprint: Blueprint) -> list[str]:
    """Names of the weights that sparsity is counted over: every convolution but the stem, or qkv, proj, fc1, fc2."""
    members = [member for group in find_groups(blueprint) for member in group.members if member.is_prunable]
    return sorted({member.tensor for member in members})


@dataclass(frozen=True)
class Size:
    """How large a network is."""

    parameters: int
    macs: int
    """Multiply-accumulates of one image: convolutions, linear layers, attention products. FLOPs are twice as many."""
    prunable: int
    """Weights of `prunable_tensors`."""
    num_units: int
    """Over all groups."""


def measure_size(blueprint: Blueprint) -> Size:
    """Counted on a network without memory."""
    with torch.device("meta"):
        network = _build(blueprint).eval()
        images = torch.zeros(1, blueprint.channels, blueprint.height, blueprint.width)
    return Size(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=count_macs(network, images),
        prunable=sum(count_prunable(blueprint).values()),
        num_units=sum(group.num_units for group in find_groups(blueprint)),
    )


def count_prunable(blueprint: Blueprint) -> dict[str, int]:
    """Weights of each of `prunable_tensors`."""
    with torch.device("meta"):
        weights = _build(blueprint).state_dict()
    return {name: weights[name].numel() for name in prunable_tensors(blueprint)}


def _build(blueprint: Blueprint) -> nn.Module:
    if blueprint.arch in vit.SPECS:
        return VisionTransformer(blueprint)
    assert blueprint.arch in resnet.SPECS, blueprint.arch
    return ResNet(blueprint)

"""The published networks, and what a choice of units leaves of them."""

from pathlib import Path

from torch import nn

from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network, measure_size
from trainables.workloads.pruning.networks.normalisation import IMAGENET
from trainables.workloads.pruning.pretrained import load_pretrained
from trainables.workloads.pruning.selection.physical_removal import Kept, shrink


def load_published(arch: str, weights: Path) -> tuple[nn.Module, Blueprint]:
    """The network in eval mode, with what it was trained to expect."""
    blueprint = Blueprint(arch, 3, 32, 32, 10)
    network = build_network(blueprint)
    load_pretrained(network, weights)
    network.get_submodule("normalize").set(*IMAGENET)  # pyright: ignore
    return network.eval(), blueprint


def share_of(blueprint: Blueprint, kept: Kept) -> float:
    """Multiply-accumulates over those of the dense network."""
    return measure_size(shrink(blueprint, kept)).macs / measure_size(blueprint.dense()).macs

"""Unit selection of a trained network: combines the settings with scores and counts."""

from collections.abc import Mapping
from itertools import islice

from torch import nn

from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import find_groups, prunable_tensors
from trainables.workloads.pruning.networks.units import UnitGroup
from trainables.workloads.pruning.selection.importance import compute_importance
from trainables.workloads.pruning.selection.magnitude_masks import Mask, prune_globally
from trainables.workloads.pruning.selection.unit_counts import choose_units, count_by_mask, count_by_rate


def prune_weights(network: nn.Module, blueprint: Blueprint, rate: float) -> dict[str, Mask]:
    """Prune all prunable weights by magnitude, on the CPU, so that every device gives the same masks."""
    state = network.state_dict()
    return prune_globally({name: state[name].cpu() for name in prunable_tensors(blueprint)}, rate)


def target_groups(blueprint: Blueprint, config: PruningConfig) -> list[UnitGroup]:
    """Return the groups that the settings allow to prune."""
    return [group for group in find_groups(blueprint) if group.kind in config.kinds]


def select_units(
    network: nn.Module,
    blueprint: Blueprint,
    config: PruningConfig,
    *,
    masks: Mapping[str, Mask],
    start: StartContext,
    num_prunings: int,
) -> dict[str, list[int]]:
    """Return for each target group the indices of the units that stay after `num_prunings` prunings; a collective.

    Args:
        network: The trained network.
        blueprint: Its blueprint.
        config: The workload's settings.
        masks: Weights that magnitude pruning keeps, by tensor.
        start: Batches and collectives.
        num_prunings: Number of prunings, this one included.
    """
    groups = target_groups(blueprint, config)
    scores = compute_importance(
        network,
        groups,
        config.criteria,
        masks=masks,
        batches=islice(start.batches("train"), config.criterion_batches),
        collectives=start.collectives,
    )
    counts = {group.name: _count(group, config, masks, num_prunings) for group in groups}
    return choose_units(groups, counts, scores, is_global=config.sorting_mode == "global")


def _count(group: UnitGroup, config: PruningConfig, masks: Mapping[str, Mask], num_prunings: int) -> int:
    if not config.is_vit:
        return count_by_mask(group, masks, config.fillback_rate)
    rate = (group.kind == "neuron" and config.mlp_prune_ratio) or config.rate
    return count_by_rate(group, rate, num_prunings, config.fillback_rate)

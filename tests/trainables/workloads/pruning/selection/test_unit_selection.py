"""Units of a trained network are chosen as the settings say."""

import math
from typing import Any

import torch

from tests.trainables.workloads.pruning.tiny_networks import CPU, Alone, images, lively, tiny
from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.selection.physical_removal import remove_units
from trainables.workloads.pruning.selection.unit_selection import plan_pruning, target_groups


def test_uniform_sorting_leaves_the_same_share_in_every_group():
    """Of the dense network's units, also in a second pruning; the ones with the largest scores."""
    settings: dict[str, Any] = {"arch": "res20s", "criteria": "magnitude", "pruning_times": 3, "prunes_residual": True}
    config = PruningConfig.model_validate({**settings, "rate": 0.4, "sorting_mode": "uniform"})
    batch = {"image": images(), "label": torch.zeros(6, dtype=torch.int64)}
    start = StartContext(lambda split: [batch], Alone(), CPU, seed=0)
    dense = blueprint = tiny("res20s")
    network = lively(blueprint)
    for number in (1, 2):
        plan = plan_pruning(network, blueprint, config, start=start, num_prunings=number)
        for group in target_groups(dense, config):
            assert len(plan.kept[group.name]) == max(1, math.floor(group.num_units * 0.6**number + 0.5)), group.name
        weights = dict(network.named_parameters())
        for group in target_groups(blueprint, config):
            if group.kind == "channel":  # of which only one convolution makes each
                [tensor] = {member.tensor for member in group.own if member.is_prunable}
                sums = weights[tensor].detach().abs().sum(dim=(1, 2, 3)).tolist()
                kept = plan.kept[group.name]
                lost = set(range(group.num_units)) - set(kept)
                assert min(sums[unit] for unit in kept) >= max((sums[unit] for unit in lost), default=0)
        network, blueprint = remove_units(network, blueprint, plan.kept)

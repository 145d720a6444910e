"""Our choice of units: that of the workload, at a target in multiply-accumulates."""

from typing import Any

import torch
from torch import Tensor, nn

from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.selection.unit_selection import plan_pruning

BATCH_SIZE = 128
SETTINGS: dict[str, Any] = {"struct": "refill", "pruning_times": 2, "criterion_batches": 4}
"""One pruning, and the batches over which activations and gradients are measured."""


class Alone:
    """Collectives of one process, as far as a choice of units needs them."""

    rank, world_size = 0, 1

    def sum(self, tensor: Tensor) -> Tensor:
        """The only summand."""
        return tensor.clone()


def choose(
    network: nn.Module, blueprint: Blueprint, images: Tensor, labels: Tensor, *, share: float, **settings: Any
) -> dict[str, list[int]]:
    """Return the numbers of the units that each group keeps."""
    config = PruningConfig.model_validate({**SETTINGS, "arch": blueprint.arch, "target_macs": share, **settings})
    batches = [
        {"image": image, "label": label}
        for image, label in zip(images.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True)
    ]
    start = StartContext(lambda split: batches, Alone(), torch.device("cpu"), seed=0)  # pyright: ignore
    return plan_pruning(network, blueprint, config, start=start, num_prunings=1).kept

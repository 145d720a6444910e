"""A made-up latency, and ranks of which one measures: for the tests of pruning."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from tests.trainables.workloads.pruning.tiny_networks import Alone

MEASURE = "trainables.workloads.pruning.latency.measure_latency"
OVERHEAD_MS = 2.0


def made_up(noise: float = 0.0) -> Callable[..., dict[str, float]]:
    """Milliseconds of an overhead, and one for 1,000 weights, on a machine that is slower by chance."""
    generator = np.random.default_rng(0)

    def measure(networks: Mapping[str, nn.Module], images: Tensor, **settings: float) -> dict[str, float]:
        return {
            name: latency_of(network) * (1 + noise * generator.uniform(-1, 1)) for name, network in networks.items()
        }

    return measure


def latency_of(network: nn.Module) -> float:
    return OVERHEAD_MS + sum(weight.numel() for weight in network.parameters() if weight.ndim > 1) / 1000


class Following(Alone):
    """A rank that is told what rank 0 has measured."""

    rank, world_size = 1, 2

    def __init__(self, told: list[Any]) -> None:
        self.told = list(told)

    def broadcast(self, value: Any) -> Any:
        return self.told.pop(0)


class Leading(Alone):
    """Rank 0, and what it tells the others."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def broadcast(self, value: Any) -> Any:
        self.told.append(value)
        return value

"""Latency of several networks' forward passes, measured in turns, so that other load affects all of them alike."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network, find_groups

NUM_WARMUPS, NUM_ROUNDS = 3, 15
SECONDS = 1.0
"""Least time for which networks are measured when units are chosen: short forward passes take more rounds."""


@dataclass(frozen=True)
class Latency:
    """Latencies of a network and of the dense one for the same images, measured in turns, in milliseconds."""

    network_ms: float
    dense_ms: float

    @property
    def share(self) -> float:
        """Of the dense network's latency."""
        return self.network_ms / self.dense_ms


class LatencyMeter:
    """Meter of networks beside the dense one, on the training's device; every rank gets what rank 0 has measured.

    Images are timed in batches of `batch_size`.
    """

    def __init__(self, batch_size: int, start: StartContext) -> None:
        self._batch_size, self._start = batch_size, start
        self._found: dict[tuple[int, ...], Latency] = {}

    def measure(self, blueprint: Blueprint) -> Latency:
        """Measure in float32, with random weights and once for each number of units in the groups; a collective."""
        shape = tuple(group.num_units for group in find_groups(blueprint))
        if shape not in self._found:
            own = self._measure(blueprint) if self._start.collectives.rank == 0 else {}
            found = self._start.collectives.broadcast(own)
            self._found[shape] = Latency(found["network"], found["dense"])
        return self._found[shape]

    def _measure(self, blueprint: Blueprint) -> dict[str, float]:
        device = self._start.device
        each = {"dense": blueprint.dense(), "network": blueprint}
        networks = {name: build_network(item).to(device).eval() for name, item in each.items()}
        return measure_latency(networks, black_images(blueprint, self._batch_size).to(device), seconds=SECONDS)


def black_images(blueprint: Blueprint, batch_size: int) -> Tensor:
    """Return uint8 images of the network's shape, on the CPU."""
    return torch.zeros(batch_size, blueprint.channels, blueprint.height, blueprint.width, dtype=torch.uint8)


@torch.no_grad()
def measure_latency(networks: Mapping[str, nn.Module], images: Tensor, *, seconds: float = 0.0) -> dict[str, float]:
    """Measure each network's median over rounds, in milliseconds; eval mode, on the device of `images`.

    There are `NUM_ROUNDS` rounds, or more until the forward passes have taken so many seconds.
    """
    rounds: list[dict[str, float]] = []
    total = 0.0
    while len(rounds) < NUM_WARMUPS + NUM_ROUNDS or total < seconds:
        rounds.append({name: _time(network, images) for name, network in networks.items()})
        total += sum(rounds[-1].values())
    return {name: 1e3 * statistics.median(each[name] for each in rounds[NUM_WARMUPS:]) for name in networks}


def _time(network: nn.Module, images: Tensor) -> float:
    _wait(images.device)
    began = time.perf_counter()
    network(images)
    _wait(images.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""Latency of several networks' forward passes, measured in turns, so that other load affects all of them alike."""

import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn

NUM_WARMUPS, NUM_ROUNDS = 3, 15


@torch.no_grad()
def measure_latency(networks: Mapping[str, nn.Module], images: Tensor) -> dict[str, float]:
    """Measure each network's median over rounds, in milliseconds; eval mode, on the device of `images`."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(NUM_WARMUPS + NUM_ROUNDS):
        for name, network in networks.items():
            elapsed = _time(network, images)
            if number >= NUM_WARMUPS:
                times[name].append(elapsed)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def _time(network: nn.Module, images: Tensor) -> float:
    _wait(images.device)
    began = time.perf_counter()
    network(images)
    _wait(images.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

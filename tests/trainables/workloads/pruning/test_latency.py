"""Latency by a made-up clock, and what ranks get of it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainables.workloads.pruning.latencies import MEASURE, Following, Leading
from tests.trainables.workloads.pruning.tiny_networks import CPU, tiny
from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.latency import Latency, LatencyMeter, measure_latency
from trainables.workloads.pruning.selection.physical_removal import shrink


class Ticking(torch.nn.Module):
    """A network that takes so many milliseconds."""

    def __init__(self, name: str, ticks: int, clock: list[int], order: list[str]) -> None:
        super().__init__()
        self.name, self.ticks, self.clock, self.order = name, ticks, clock, order

    def forward(self, x: Tensor) -> Tensor:
        self.order.append(self.name)
        self.clock[0] += self.ticks
        return x


@pytest.fixture
def measure(monkeypatch):
    """Latencies and order of a slow and a fast network by a clock that only they turn."""
    clock, order = [0], []
    monkeypatch.setattr("time.perf_counter", lambda: clock[0] / 1000)

    def measure_both(**settings: float) -> tuple[dict[str, float], list[str]]:
        networks = {name: Ticking(name, ticks, clock, order) for name, ticks in (("slow", 10), ("fast", 5))}
        return measure_latency(networks, torch.zeros(1), **settings), order

    return measure_both


def test_latencies_are_medians_in_milliseconds_of_turns(measure):
    found, order = measure()
    assert found == pytest.approx({"slow": 10.0, "fast": 5.0})
    assert order == ["slow", "fast"] * 18


def test_short_forward_passes_take_more_rounds(measure):
    found, order = measure(seconds=3.0)
    assert found == pytest.approx({"slow": 10.0, "fast": 5.0})
    assert order == ["slow", "fast"] * 200


def test_rank_0_measures_each_shape_once_and_tells_the_others(monkeypatch):
    calls: list[list[int]] = []

    def measure(networks: Any, images: Tensor, seconds: float) -> dict[str, float]:
        sizes = [network.get_submodule("layer1.0.conv1").out_channels for network in networks.values()]
        assert images.shape == (5, 1, 8, 8) and not any(network.training for network in networks.values())
        calls.append(sizes)
        return dict(zip(networks, map(float, sizes), strict=True))

    monkeypatch.setattr(MEASURE, measure)
    dense = tiny("res20s")
    others = [shrink(dense, {"layer1.0.conv1": kept}) for kept in ([0, 1, 2, 3], [4, 5, 6, 7], [0])]
    first, second = Leading(), Following([])
    expected = [Latency(4, 16), Latency(4, 16), Latency(1, 16)]
    meters = [LatencyMeter(5, StartContext(lambda split: [], each, CPU, seed=0)) for each in (first, second)]
    assert [meters[0].measure(other) for other in others] == expected
    assert calls == [[16, 4], [16, 1]]
    second.told = first.told
    assert [meters[1].measure(other) for other in others] == expected
    assert len(calls) == 2 and expected[0].share == 0.25

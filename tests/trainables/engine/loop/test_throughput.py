"""Speed as system metrics, and the share of a device's peak."""

import json
from typing import Any

import pytest
import torch

from ray_jobs.runs.training import train
from tests.trainables.engine.step.test_train_step import SquareTask, build, make_batch, step
from trainables.engine.loop import throughput
from trainables.engine.loop.throughput import Utilization, name_speed

SPEED: Any = {"samples_per_s": 80.0, "step_s": 0.1, "data_wait_ratio": 0.25}


def test_what_was_not_measured_is_absent():
    assert name_speed(SPEED, None) == {"system/samples_per_s": 80.0, "system/data_wait_ratio": 0.25}
    idle: Any = {**SPEED, "step_s": 0.0, "checkpoint_s": 2.0}
    assert name_speed(idle, 0.5) == {"system/checkpoint_s": 2.0, "system/mfu": 0.5}


def test_the_utilisation_is_operations_over_those_of_the_peak(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100-SXM4-40GB")
    utilization = Utilization(torch.device("cuda", 0), "bf16")
    optimization = build(SquareTask())
    assert utilization.ratio(0.1) is None
    for number in range(2):  # the second is not counted
        with utilization.counting():
            step(optimization, make_batch(number))
    forward = 2 * 8 * (3 * 4 + 4 * 1)
    backward = forward + 2 * 8 * 4 * 1  # of weights, and of the second layer's input
    assert utilization.ratio(0.1) == pytest.approx((forward + backward) / (0.1 * 312e12))
    utilization.forget()
    assert utilization.ratio(0.1) is None
    with utilization.counting():
        step(optimization, make_batch(2))
    assert utilization.ratio(0.1) is not None


@pytest.mark.parametrize(("device", "is_wanted"), [("cpu", True), ("cuda:0", False)])
def test_nothing_is_counted_without_a_peak_or_a_wish(device, is_wanted):
    utilization = Utilization(torch.device(device), "fp32", is_wanted=is_wanted)
    with utilization.counting():
        step(build(SquareTask()), make_batch(0))
    assert utilization.ratio(0.1) is None


@pytest.mark.slow
def test_speed_is_in_the_events_and_counting_changes_no_row(toy, monkeypatch):
    plain, counted = toy(), toy(tracking={"run_name": "counted"})
    train(plain)
    monkeypatch.setattr(throughput, "find_peak", lambda device, precision: 1e9)
    train(counted)
    found = [
        [json.loads(line)["system"] for line in each.folder.read("events.jsonl").splitlines()]
        for each in (plain, counted)
    ]
    assert not any("system/mfu" in system for system in found[0]) and found[1][1]["system/mfu"] > 0
    assert found[0][1]["system/samples_per_s"] > 0
    assert any(system.get("system/checkpoint_s", 0) > 0 for system in found[0])
    assert plain.folder.read("metrics.jsonl") == counted.folder.read("metrics.jsonl")

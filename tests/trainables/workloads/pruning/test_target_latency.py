"""A target in latency: the rate that reaches a made-up one, on every rank, and trainings that keep what was found."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from ray_jobs.runs.training import train
from tests.trainables.workloads.pruning.digit_rounds import forget_after, make, rows_of, state_at
from tests.trainables.workloads.pruning.latencies import MEASURE, Following, Leading, latency_of, made_up
from tests.trainables.workloads.pruning.tiny_networks import CPU, Alone, images, lively, tiny
from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.networks.build import find_groups
from trainables.workloads.pruning.selection.physical_removal import shrink
from trainables.workloads.pruning.selection.unit_selection import (
    NUM_HALVINGS,
    PruningPlan,
    describe_plan,
    find_plan,
    plan_pruning,
    refuse_slow,
)

NAMES = ("latency_ms", "dense_latency_ms", "latency_share")


def config_of(arch: str = "res20s", **settings: Any) -> PruningConfig:
    return PruningConfig.model_validate({"arch": arch, "criteria": "magnitude", "pruning_times": 2, **settings})


def start_of(collectives: Any) -> StartContext:
    batch = {"image": images(), "label": torch.zeros(6, dtype=torch.int64)}
    return StartContext(lambda split: [batch], collectives, CPU, seed=0)


def plan_of(config: PruningConfig, collectives: Any = None, num_prunings: int = 1) -> PruningPlan:
    blueprint, start = tiny(config.arch), start_of(collectives or Alone())
    return plan_pruning(lively(blueprint), blueprint, config, start=start, num_prunings=num_prunings)


def share_of(config: PruningConfig, plan: PruningPlan) -> float:
    """Of the made-up latency without noise."""
    dense = tiny(config.arch)
    return latency_of(lively(shrink(dense, plan.kept))) / latency_of(lively(dense))


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_bisection_finds_what_a_search_of_all_rates_finds(noise):
    """Every layer has a cost for each of its units; noise may move the rate no further than it moves the cost."""
    generator = np.random.default_rng(1)
    sizes = {group.name: group.num_units for group in find_groups(tiny("res20s"))}
    costs = {name: generator.uniform(0.5, 2.0) for name in sizes}

    def plan_at(rate: float) -> PruningPlan:
        left = {name: max(1, math.ceil((1 - rate) * size)) for name, size in sizes.items()}
        return PruningPlan(rate, {}, {name: list(range(count)) for name, count in left.items()})

    def true_cost(plan: PruningPlan) -> float:
        return 10 + sum(costs[name] * len(units) for name, units in plan.kept.items())

    measured: dict[float, float] = {}

    def cost_of(plan: PruningPlan) -> float:
        return measured.setdefault(plan.rate, true_cost(plan) * (1 + noise * generator.uniform(-1, 1)))

    rates = [step / 2**NUM_HALVINGS for step in range(1, 2**NUM_HALVINGS + 1)]
    every = [(rate, true_cost(plan_at(rate))) for rate in rates]
    for share in (0.3, 0.5, 0.8):
        measured.clear()
        allowed = share * true_cost(plan_at(0.0))
        found = find_plan(plan_at, cost_of, allowed)
        assert measured[found.rate] <= allowed
        earliest, latest = (
            min(rate for rate, cost in every if cost * (1 + part) <= allowed) for part in (-noise, noise)
        )
        assert earliest <= found.rate <= latest
        assert noise or earliest == latest == found.rate


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "settings"),
    [
        ("res20s", {"prunes_residual": True, "sorting_mode": "global"}),
        ("vit_tiny", {"target": "both"}),
    ],
)
def test_the_lowest_rate_that_is_quick_enough_is_found(monkeypatch, arch, settings):
    monkeypatch.setattr(MEASURE, made_up())
    config = config_of(arch, target_latency=0.5, **settings)
    plan = plan_of(config)
    assert plan.latency is not None and plan.latency.share <= 0.5
    assert plan.latency.share == pytest.approx(share_of(config, plan))
    same, lower = (plan_of(config_of(arch, rate=rate, **settings)) for rate in (plan.rate, plan.rate - 2e-4))
    assert same.kept == plan.kept and share_of(config, lower) > 0.5


@pytest.mark.slow
def test_noise_leads_near_the_rate_and_never_above_the_target(monkeypatch):
    exact = config_of(target_latency=0.5)
    monkeypatch.setattr(MEASURE, made_up())
    expected = share_of(exact, plan_of(exact))
    monkeypatch.setattr(MEASURE, made_up(noise=0.05))
    plan = plan_of(exact)
    assert plan.latency is not None and plan.latency.share <= 0.5
    assert share_of(exact, plan) == pytest.approx(expected, abs=0.06)


@pytest.mark.slow
def test_all_ranks_remove_the_units_that_rank_0_has_chosen(monkeypatch):
    config, first = config_of(target_latency=0.5), Leading()
    monkeypatch.setattr(MEASURE, made_up(noise=0.05))
    plan = plan_of(config, first)
    monkeypatch.delattr(MEASURE)  # the other rank measures nothing
    other = plan_of(config, Following(first.told))
    assert other.kept == plan.kept and other.latency == plan.latency and other.rate == plan.rate


@pytest.mark.slow
def test_a_later_pruning_may_only_take_its_own_share(monkeypatch):
    monkeypatch.setattr(MEASURE, made_up())
    config = config_of(target_latency=0.4, pruning_times=3)
    first, second = (share_of(config, plan_of(config, num_prunings=number)) for number in (1, 2))
    assert 0.55 < first <= 0.4**0.5 and 0.35 < second <= 0.4


@pytest.mark.parametrize(("arch", "wider"), [("res20s", "prunes_residual: true"), ("vit_tiny", "target: both")])
def test_a_target_that_no_network_reaches_is_refused_early(monkeypatch, arch, wider):
    monkeypatch.setattr(MEASURE, lambda networks, images, **settings: {"dense": 10.0, "network": 6.0})
    words = (
        rf"`workload.target_latency` is 0.5, but {arch} with one unit .* takes 6.00 ms of the dense network's 10.00 ms "
        rf"for 64 images on cpu, a share of 0.600 where 0.500 is allowed; .*{wider}"
    )
    with pytest.raises(ValueError, match=words):
        refuse_slow(tiny(arch), config_of(arch, target_latency=0.5), start_of(Alone()))
    refuse_slow(tiny(arch), config_of(arch, target_latency=0.6), start_of(Alone()))


@pytest.mark.slow
def test_a_pruning_that_no_rate_makes_quick_enough_ends_aloud(monkeypatch):
    """A machine whose load has changed since the start."""
    monkeypatch.setattr(MEASURE, lambda networks, images, **settings: {"dense": 10.0, "network": 7.5})
    with pytest.raises(ValueError, match=r"takes 7.50 ms .* a share of 0.750 where 0.707 is allowed"):
        plan_of(config_of(target_latency=0.5, pruning_times=3))


@pytest.mark.slow
@pytest.mark.xdist_group("pruning rounds")
@pytest.mark.parametrize(("struct", "prune_type"), [("refill", "lt"), ("rsst", "finetune")])
def test_a_resume_keeps_what_was_measured_and_chosen(tmp_path, monkeypatch, struct, prune_type):
    monkeypatch.setattr(MEASURE, made_up(noise=0.05))
    settings = {"struct": struct, "prune_type": prune_type, "prunes_residual": True, "latency_batch_size": 7}
    experiment = make(tmp_path, tmp_path / "digits", target_latency=0.5, rate=None, **settings)
    train(experiment)
    whole, folder = rows_of(experiment), experiment.folder
    found = [row for row in whole if "latency_share" in row]
    assert [row["step"] for row in found] == [6, 8, 10, 12]  # after each epoch of the two rounds that are pruned
    for row, allowed in zip(found, [50**0.5 * 10] * 2 + [50] * 2, strict=True):
        share = 100 * row["latency_ms"] / row["dense_latency_ms"]
        assert allowed - 12 < share <= allowed and row["latency_share"] == pytest.approx(share)
    rounds = state_at(experiment, 12)[0]["rounds"]
    assert [record["target_latency"] for record in rounds[1:]] == pytest.approx([50**0.5 * 10, 50])
    assert [record["latency_ms"] for record in rounds] == [None, found[0]["latency_ms"], found[2]["latency_ms"]]
    table = folder.read_json("pictures/eval/rounds/step_000000012.json")
    names = ["Latency ms", "Dense latency ms", "Latency %", "Target latency %"]
    assert table["columns"][-4:] == names
    (line,) = table["rows"]
    assert line[-4:] == pytest.approx([*(found[-1][name] for name in NAMES), 50])
    log = folder.read("train.log").decode()
    assert f"ms of {found[2]['dense_latency_ms']:.2f} ms for 7 images" in log
    weights = folder.read("checkpoints/step_000000012/model.safetensors")
    monkeypatch.delattr(MEASURE)  # whoever measures anew finds nothing to measure with
    forget_after(experiment, 8)  # the first step after the second pruning was chosen
    folder.delete("final_metrics.json")
    train(experiment)
    assert rows_of(experiment) == whole
    assert folder.read("checkpoints/step_000000012/model.safetensors") == weights


def test_what_a_plan_leaves_is_told_with_its_milliseconds(monkeypatch):
    monkeypatch.setattr(MEASURE, lambda networks, images, **settings: {"dense": 10.0, "network": 4.0})
    config = config_of(target_latency=0.5)
    told = describe_plan(plan_of(config), tiny("res20s"), config, 1)
    assert told.endswith(
        "leaves 40.00 % of the dense network's latency, of 50.00 % allowed: 4.00 ms of 10.00 ms for 64 images"
    )

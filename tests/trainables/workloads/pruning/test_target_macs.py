"""A target in multiply-accumulates: the rate that reaches it, what cannot be reached, and whole trainings."""

from functools import partial
from typing import Any

import pytest
import torch

from ray_jobs.runs.training import train
from tests.trainables.workloads.pruning.digit_rounds import make, rows_of
from tests.trainables.workloads.pruning.tiny_networks import CPU, Alone, images, lively, tiny
from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.networks.build import measure_size
from trainables.workloads.pruning.selection.physical_removal import shrink
from trainables.workloads.pruning.selection.unit_selection import PruningPlan, plan_pruning, refuse_unreachable


def config_of(arch: str, **settings: Any) -> PruningConfig:
    return PruningConfig.model_validate({"arch": arch, "criteria": "magnitude", "pruning_times": 2, **settings})


def plan_of(config: PruningConfig, num_prunings: int = 1) -> PruningPlan:
    batch = {"image": images(), "label": torch.zeros(6, dtype=torch.int64)}
    start = StartContext(lambda split: [batch], Alone(), CPU, seed=0)
    blueprint = tiny(config.arch)
    return plan_pruning(lively(blueprint), blueprint, config, start=start, num_prunings=num_prunings)


def share_of(config: PruningConfig, plan: PruningPlan) -> float:
    blueprint = tiny(config.arch)
    return measure_size(shrink(blueprint, plan.kept)).macs / measure_size(blueprint).macs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "settings"),
    [
        ("res20s", {"target_macs": 0.5}),
        ("res20s", {"target_macs": 0.2, "prunes_residual": True, "sorting_mode": "global"}),
        ("res20s", {"target_macs": 0.5, "prunes_residual": True, "sorting_mode": "uniform"}),
        ("vit_tiny", {"target_macs": 0.6, "target": "both"}),
    ],
)
def test_the_lowest_rate_that_reaches_the_target_is_found(arch, settings):
    config = config_of(arch, **settings)
    plan = plan_of(config)
    assert share_of(config, plan) <= settings["target_macs"]
    by_rate = {name: value for name, value in settings.items() if name != "target_macs"}
    same, lower = (plan_of(config_of(arch, rate=rate, **by_rate)) for rate in (plan.rate, plan.rate - 2e-4))
    assert same.kept == plan.kept
    assert share_of(config, lower) > settings["target_macs"]


@pytest.mark.slow
def test_a_later_pruning_may_only_leave_its_own_share():
    config = config_of("res20s", target_macs=0.4, pruning_times=3)
    first, second = (share_of(config, plan_of(config, number)) for number in (1, 2))
    assert 0.55 < first <= 0.4**0.5 and 0.35 < second <= 0.4


@pytest.mark.parametrize(("arch", "wider"), [("res20s", "prunes_residual: true"), ("vit_tiny", "target: both")])
def test_a_target_below_what_the_rest_costs_is_refused(arch, wider):
    with pytest.raises(ValueError, match=rf"`workload.target_macs` is 0.01, but {arch} with one unit .*{wider}"):
        refuse_unreachable(tiny(arch), config_of(arch, target_macs=0.01))
    refuse_unreachable(tiny(arch), config_of(arch, target_macs=0.9))


@pytest.mark.slow
@pytest.mark.xdist_group("pruning rounds")
@pytest.mark.parametrize("struct", ["refill", "rsst"])
def test_a_training_ends_with_at_most_the_target(tmp_path, struct):
    build = partial(make, tmp_path, tmp_path / "digits")
    experiment = build(struct=struct, target_macs=0.5, rate=None, criteria="group_l2")
    train(experiment)
    rows = [row for row in rows_of(experiment) if "macs_share" in row]
    shares = [row["macs_share"] for row in rows]
    assert shares[:2] == [100, 100] and 60 < shares[2] <= 100 * 0.5**0.5 and 45 < shares[-1] <= 50
    rates = [row["pruning_rate"] for row in rows if "pruning_rate" in row]
    assert len(rates) == 2 and all(0 < rate < 1 for rate in rates)
    (line,) = experiment.folder.read_json("pictures/eval/rounds/step_000000012.json")["rows"]
    assert line[1] == "" and line[-3:-1] == [pytest.approx(shares[-1]), pytest.approx(50)]
    log = experiment.folder.read("train.log").decode()
    assert f"pruning 2: a rate of {rates[1]:.4f} leaves {shares[-1]:.2f} % of the dense network's" in log

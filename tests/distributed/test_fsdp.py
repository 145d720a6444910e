"""Runs of processes that hold a part of each parameter (fsdp), against copies (ddp) and against one process."""

import gzip
import json
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment
from tests.distributed.launch import start_processes
from trainables.engine.files.checkpoints import find_checkpoint, load_checkpoint
from trainables.engine.files.histograms import Watch
from trainables.plan import Plan

pytestmark = pytest.mark.slow

WIDTH = {"has_noise": False, "width": 7}
"""Without dropout and batch normalisation, which see only a worker's own rows; no number of workers divides it."""


def plan_of(experiment: Experiment, parallel: str = "fsdp") -> Plan:
    experiment.folder.make()
    plan = build_plan(experiment)
    return replace(plan, scaling=plan.scaling.model_copy(update={"parallel": parallel}))


def newest(plan: Plan) -> str:
    name, _ = find_checkpoint(plan.folder)
    assert name is not None
    return name


def rows_of(plan: Plan) -> list[dict]:
    return [
        json.loads(line) for line in gzip.decompress(plan.folder.read(f"{newest(plan)}/history.jsonl.gz")).splitlines()
    ]


def tensors_of(plan: Plan) -> dict[str, torch.Tensor]:
    """All tensors of the newest checkpoint, and of the last model."""
    checkpoint = load_checkpoint(plan.folder, newest(plan))
    moments = checkpoint.state["learner"]["optimizer"]["state"]
    model = plan.folder.read_json("models/aliases.json")["latest"]
    parts = {"model": checkpoint.model, "ema": checkpoint.ema or {}, **moments}
    parts["saved"] = load_file(plan.folder.full(f"models/{model}/model.safetensors"))
    return {f"{part} {name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def assert_near(plan: Plan, other: Plan) -> None:
    mine, others = rows_of(plan), rows_of(other)
    assert [row.keys() for row in mine] == [row.keys() for row in others]
    for own, reference in zip(mine, others, strict=True):
        assert own == pytest.approx(reference, rel=1e-5, abs=1e-6)
    torch.testing.assert_close(tensors_of(plan), tensors_of(other), atol=1e-5, rtol=1e-5)


@pytest.fixture
def one(toy) -> Plan:
    experiment = toy(workload=WIDTH, tracking={"run_name": "one"})
    train(experiment)
    return plan_of(experiment)


@pytest.mark.parametrize(
    ("num_workers", "training"),
    [(3, {"accumulate": 2}), pytest.param(2, {"activation_checkpointing": True}, marks=pytest.mark.faults)],
    ids=["uneven", "recomputed"],
)
def test_parts_learn_and_save_what_one_process_does(toy, tmp_path, one, num_workers, training):
    plan = plan_of(toy(workload=WIDTH, training=training, tracking={"run_name": "several"}))
    plan = replace(plan, watch=Watch(gradients=True, parameters=True, every_steps=24))
    assert start_processes(plan, tmp_path, num_workers) == [0] * num_workers
    assert_near(plan, one)
    files = [
        f"{newest(plan)}/model.{part}safetensors" for part in ("", "rank_1_part_1.", "rank_2_part_1.")[:num_workers]
    ]
    written = [sum(tensor.numel() for tensor in load_file(plan.folder.full(file)).values()) for file in files]
    assert sum(written) == sum(tensor.numel() for tensor in load_checkpoint(plan.folder, newest(plan)).model.values())
    assert max(written) < 0.7 * sum(written)
    watched = plan.folder.read_json("pictures/watch/step_000000024.json")["histograms"]
    assert {name: sum(each["counts"]) for name, each in watched.items()} == {
        f"watch/{kind}/{name}": tensor.numel()
        for kind in ("gradients", "parameters")
        for name, tensor in load_checkpoint(plan.folder, newest(plan)).model.items()
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("fsdp", 2), ("fsdp", 1)),
        pytest.param(("fsdp", 2), ("ddp", 2), marks=pytest.mark.faults),
        pytest.param(("ddp", 2), ("fsdp", 2), marks=pytest.mark.faults),
        pytest.param(("fsdp", 3), ("fsdp", 2), marks=pytest.mark.faults),
        pytest.param(("ddp", 1), ("fsdp", 2), marks=pytest.mark.faults),
    ],
    ids=str,
)
def test_a_run_goes_on_with_other_parts(toy, tmp_path, one, before, after):
    """One worker that is left of several holds all."""
    kill_file = tmp_path / "kill"
    experiment = toy(workload={**WIDTH, "kill_file": str(kill_file)}, tracking={"run_name": "killed"})
    kill_file.write_text("10")
    parallel, num_workers = before
    assert -signal.SIGKILL in start_processes(plan_of(experiment, parallel), tmp_path, num_workers)
    parallel, num_workers = after
    assert start_processes(plan_of(experiment, parallel), tmp_path, num_workers) == [0] * num_workers
    assert_near(plan_of(experiment), one)


def test_two_killed_workers_go_on_to_the_bit(toy, tmp_path):
    """With dropout and batch norm, and a layer that is replaced between two epochs."""
    plans = []
    for name in ("whole", "killed"):
        kill_file = tmp_path / name
        workload = {"kill_file": str(kill_file), "swaps_layer_after_epoch": 1}
        plans.append(plan_of(toy(workload=workload, tracking={"run_name": name})))
        if name == "killed":
            kill_file.write_text("17")
            assert -signal.SIGKILL in start_processes(plans[-1], tmp_path)
        assert start_processes(plans[-1], tmp_path) == [0, 0]
    whole, killed = (tensors_of(plan) for plan in plans)
    assert rows_of(plans[0]) == rows_of(plans[1])
    assert whole.keys() == killed.keys() and all(torch.equal(whole[name], killed[name]) for name in whole)
    assert whole["model 0.weight"].shape == (4, 8)


def test_any_part_names_unused_parameters(toy, tmp_path, capfd):
    plan = plan_of(toy(workload={"has_unused_parameter": True}))
    assert start_processes(plan, tmp_path) == [1, 1]
    assert capfd.readouterr().err.count("RunError: the loss does not depend on 1 trainable") == 2

"""Two processes that prune together: the same network on both, and a resume that is exact to the bit."""

import gzip
import json
from dataclasses import replace

import pytest
import torch

from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import Experiment
from tests.distributed.launch import start_processes
from tests.trainables.workloads.pruning.digit_rounds import forget_after, make
from trainables.engine.files.checkpoints import load_checkpoint


def build(tmp_path, name: str, **workload) -> Experiment:
    ema = {"decay": 0.9} if workload.get("struct") == "refill" else None
    training = {"batch_size": 320, "log_every_steps": 50, "ema": ema}
    experiment = make(tmp_path, tmp_path / "digits", name, training, **workload)
    experiment.folder.make()
    return experiment


def outcome(experiment: Experiment, step: int) -> tuple[dict, list[dict]]:
    folder, name = experiment.folder, f"checkpoints/step_{step:09d}"
    rows = [json.loads(line) for line in gzip.decompress(folder.read(f"{name}/history.jsonl.gz")).splitlines()]
    return load_checkpoint(folder, name).model, rows


@pytest.mark.faults
@pytest.mark.parametrize(
    ("cut", "workload"),
    [
        (11, {"struct": "refill", "prune_type": "rewind_lt", "rewind_epoch": 1}),
        (19, {"struct": "rsst"}),
        (11, {"struct": "refill", "prune_type": "finetune", "criteria": "taylor"}),
    ],
)
def test_two_workers_resume_in_a_later_round_bit_for_bit(tmp_path, cut, workload):
    experiment = build(tmp_path, "run", **workload)
    assert start_processes(build_plan(experiment), tmp_path) == [0, 0]
    weights, rows = outcome(experiment, 24)
    assert [row["step"] for row in rows] == list(range(1, 25)) and rows[-1]["prune_times"] == 2
    forget_after(experiment, cut)  # the rounds have 8 steps each
    assert start_processes(build_plan(experiment), tmp_path) == [0, 0]
    again, again_rows = outcome(experiment, 24)
    assert again_rows == rows
    assert all(torch.equal(again[name], weights[name]) for name in weights)


@pytest.mark.slow
def test_two_workers_take_the_steps_of_one_on_the_joined_batch(tmp_path):
    """A transformer, which has no statistics of a batch, up to the order of sums."""
    results = []
    for num_workers in (1, 2):
        experiment = build(tmp_path, f"workers-{num_workers}", pruning_times=1, arch="vit_tiny")
        assert start_processes(build_plan(experiment), tmp_path, num_workers) == [0] * num_workers
        results.append(outcome(experiment, 8))
    (one, one_rows), (two, two_rows) = results
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-4, rtol=1e-3)
    for name in ("loss", "val_accuracy", "test_accuracy"):
        assert two_rows[-1][name] == pytest.approx(one_rows[-1][name], rel=1e-3)


@pytest.mark.slow
def test_workers_with_parts_of_the_network_remove_the_same_heads(tmp_path):
    """Fully sharded, a transformer is complete again between rounds, is pruned, and is divided anew."""
    results = []
    for parallel in ("ddp", "fsdp"):
        experiment = build(tmp_path, parallel, arch="vit_tiny", struct="refill", pruning_times=2)
        plan = build_plan(experiment)
        plan = replace(plan, scaling=plan.scaling.model_copy(update={"parallel": parallel}))
        assert start_processes(plan, tmp_path) == [0, 0]
        results.append(outcome(experiment, 16))
    (copies, copied_rows), (parts, rows) = results
    torch.testing.assert_close(parts, copies, atol=1e-4, rtol=1e-3)
    assert any(tensor.shape[0] < 3 * 192 for name, tensor in parts.items() if name.endswith("attn.qkv.weight"))
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in copied_rows], rel=1e-4)

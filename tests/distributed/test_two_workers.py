"""Two processes against one, and two killed processes against two that were not."""

import gzip
import json
import random
import signal

import pytest
import torch
from safetensors.torch import load_file

from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import train
from tests.distributed.launch import start_processes
from trainables.engine.files.checkpoints import find_checkpoint
from trainables.plan import Plan

STEPS = sorted(random.Random(21).sample(range(1, 24), 5))


def plan_of(experiment) -> Plan:
    experiment.folder.make()
    return build_plan(experiment)


def outcome(plan: Plan) -> tuple[dict, list[dict]]:
    """Weights and rows of the newest checkpoint."""
    name, _ = find_checkpoint(plan.folder)
    assert name is not None
    rows = [json.loads(line) for line in gzip.decompress(plan.folder.read(f"{name}/history.jsonl.gz")).splitlines()]
    return load_file(plan.folder.full(f"{name}/model.safetensors")), rows


@pytest.fixture
def one(toy) -> tuple[dict, list[dict]]:
    """Without dropout and batch normalisation, which see only a worker's own rows."""
    experiment = toy(workload={"has_noise": False}, tracking={"run_name": "one"})
    train(experiment)
    return outcome(plan_of(experiment))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_workers", "accumulate", "feed"),
    [
        (3, 1, "stream"),
        pytest.param(2, 1, "resident", marks=pytest.mark.faults),
        pytest.param(2, 2, "stream", marks=pytest.mark.faults),
    ],
)
def test_any_workers_learn_what_one_learns(toy, tmp_path, one, num_workers, accumulate, feed):
    """Batches of 16 rows, augmented: with three workers the shares are uneven."""
    training = {"feed": feed, "accumulate": accumulate}
    plan = plan_of(toy(workload={"has_noise": False}, training=training, tracking={"run_name": "several"}))
    assert start_processes(plan, tmp_path, num_workers) == [0] * num_workers
    weights, rows = outcome(plan)
    assert [row["step"] for row in rows] == [row["step"] for row in one[1]]
    assert [row["train/loss"] for row in rows] == pytest.approx([row["train/loss"] for row in one[1]], rel=1e-5)
    for name in weights:
        torch.testing.assert_close(weights[name], one[0][name], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [pytest.param(1, marks=pytest.mark.faults), 2])
def test_any_number_of_workers_names_unused_parameters(toy, tmp_path, capfd, num_workers):
    plan = plan_of(toy(workload={"has_unused_parameter": True}))
    assert start_processes(plan, tmp_path, num_workers) == [1] * num_workers
    assert capfd.readouterr().err.count("RunError: the loss does not depend on 1 trainable") == num_workers


@pytest.fixture
def reference(toy, tmp_path) -> tuple[dict, list[dict]]:
    plan = plan_of(toy(workload={"kill_file": str(tmp_path / "kill")}, tracking={"run_name": "reference"}))
    assert start_processes(plan, tmp_path) == [0, 0]
    return outcome(plan)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("step", STEPS)
def test_two_killed_workers_end_with_the_same_weights_and_rows(toy, tmp_path, reference, step):
    kill_file = tmp_path / "kill"
    plan = plan_of(toy(workload={"kill_file": str(kill_file)}))
    kill_file.write_text(str(step))
    assert -signal.SIGKILL in start_processes(plan, tmp_path)
    assert start_processes(plan, tmp_path) == [0, 0]
    weights, rows = outcome(plan)
    assert rows == reference[1]
    assert all(torch.equal(weights[name], reference[0][name]) for name in weights)


@pytest.mark.slow
def test_three_workers_are_resumed_by_one_in_mid_epoch(toy, tmp_path, one):
    kill_file = tmp_path / "kill"
    workload = {"has_noise": False, "kill_file": str(kill_file)}
    experiment = toy(workload=workload, training={"feed": "stream"}, tracking={"run_name": "fewer"})
    kill_file.write_text("10")
    assert all(start_processes(plan_of(experiment), tmp_path, 3))
    before = outcome(plan_of(experiment))[1]
    assert 0 < len(before) < 24
    train(experiment)
    assert "was written by 3 workers and goes on with 1: batches, crops" in experiment.folder.read("train.log").decode()
    rows = [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]
    assert rows[: len(before)] == before
    for name in ("step", "train/learning_rate", "train/loss"):
        assert [row[name] for row in rows] == pytest.approx([row[name] for row in one[1]], rel=1e-5)

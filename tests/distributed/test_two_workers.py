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


@pytest.mark.slow
def test_two_workers_learn_what_one_learns_on_the_joined_batch(toy, tmp_path):
    """The rows of a global batch, and so the averaged gradient, do not depend on the number of workers."""
    results = []
    for num_workers in (1, 2):
        experiment = toy(workload={"has_noise": False}, tracking={"run_name": f"workers-{num_workers}"})
        plan = plan_of(experiment)
        assert start_processes(plan, tmp_path, num_workers) == [0] * num_workers
        results.append(outcome(plan))
    (one, one_rows), (two, two_rows) = results
    assert [row["step"] for row in one_rows] == [row["step"] for row in two_rows]
    for name in one:
        # not equal to the bit: the augmentation's noise is drawn by each rank
        torch.testing.assert_close(one[name], two[name], atol=0.05, rtol=0)
    assert two_rows[0]["train/loss"] == pytest.approx(one_rows[0]["train/loss"], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
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
@pytest.mark.parametrize("step", [STEPS[0], *(pytest.param(step, marks=pytest.mark.faults) for step in STEPS[1:])])
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
def test_two_workers_resume_with_one_on_the_same_schedule(toy, tmp_path):
    """The random numbers are others, and the log says so."""
    kill_file = tmp_path / "kill"
    settings = {
        "workload": {"kill_file": str(kill_file)},
        "training": {"schedule": {"name": "cosine", "warmup_steps": 5}},
    }
    experiment = toy(**settings, tracking={"run_name": "fewer"})
    reference = toy(**settings, tracking={"run_name": "reference"})
    train(reference)
    kill_file.write_text("10")
    assert all(start_processes(plan_of(experiment), tmp_path))
    before = outcome(plan_of(experiment))[1]
    train(experiment)
    assert "was written by 2 workers and goes on with 1" in experiment.folder.read("train.log").decode()
    rows = [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]
    expected = [json.loads(line) for line in reference.folder.read("metrics.jsonl").splitlines()]
    assert rows[: len(before)] == before and 0 < len(before) < 24
    for name in ("step", "train/learning_rate"):
        assert [row[name] for row in rows] == [row[name] for row in expected]

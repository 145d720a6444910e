"""A short training of a workload: it evaluates what it promises, and resumes bit for bit after an end at any step."""

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import Experiment
from tests.contract.conftest import load_smallest
from trainables.contract.workload_config import BASELINE
from trainables.engine.files.checkpoints import find_checkpoint
from trainables.engine.loop.loop import run_training
from trainables.engine.loop.worker_context import CancelledError
from trainables.ray_train.worker_main import run_locally

STEPS = 6


@pytest.fixture
def build(trained_name, tmp_path):
    """Builds the experiment with a run name, cut down to a few steps."""

    def build_one(run_name: str) -> Experiment:
        smallest = load_smallest(trained_name)
        end = "1 epochs" if smallest.workload.num_stages > 1 else f"{STEPS} steps"
        changes = {
            "training.schedule.warmup_epochs": 0,
            "training.log_every_steps": 1,
            "training.checkpoint_every": "2 steps",
            "training.evaluate_every": end,
            "training.pictures_every": end,
            "scaling.num_workers": 0,
            "scaling.threads_per_worker": 1,
            "storage.path": str(tmp_path),
            "tracking.run_name": run_name,
            "after": [],
            "search": None,
        }
        if smallest.workload.num_stages == 1:
            return smallest.override({**changes, "training.epochs": None, "training.max_steps": STEPS})
        return shortest(smallest, changes)

    return build_one


def shortest(experiment: Experiment, changes: dict[str, Any]) -> Experiment:
    """Several stages of as few epochs as the settings allow."""
    for epochs in range(1, experiment.training.epochs or 1):
        try:
            return experiment.override({**changes, "training.epochs": epochs})
        except ValueError:
            continue
    return experiment.override(changes)


def run(experiment: Experiment, last_step: int = 10**9) -> tuple[list[dict], dict[str, torch.Tensor]]:
    """Train up to a step; returns the rows and the weights of the newest checkpoint."""
    experiment.folder.make()
    recorder, steps = RunRecorder(experiment.folder, prints=False), iter(range(last_step))
    try:
        run_locally(build_plan(experiment), run_training, recorder.apply, lambda: next(steps, None) is None)
    except CancelledError:
        assert last_step < 10**9
    recorder.flush()
    name, _ = find_checkpoint(experiment.folder)
    rows = [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]
    return rows, load_file(experiment.folder.full(f"{name}/model.safetensors"))


def test_an_evaluation_has_the_selection_metric_and_a_baseline(build):
    rows, _ = run(build("alone"))
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1)) and len(rows) >= STEPS
    evaluated = {name: value for name, value in rows[-1].items() if not name.startswith(("train/", "step", "epoch"))}
    assert build("alone").workload.selection_metric.metric in evaluated
    assert any(name.startswith(BASELINE) for name in evaluated), f"no trivial baseline among {sorted(evaluated)}"


@pytest.mark.parametrize("last_step", [3, 4])
def test_a_training_resumes_bit_for_bit(build, last_step):
    rows, weights = run(build("alone"))
    run(build("interrupted"), last_step)
    resumed_rows, resumed_weights = run(build("interrupted"))
    assert resumed_rows == rows
    assert weights.keys() == resumed_weights.keys()
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)

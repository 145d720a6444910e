"""Short trainings in rounds on the embedded digits, and what they recorded: for the tests of pruning."""

import json
from pathlib import Path
from typing import Any

import torch

from ray_jobs.settings.experiment import Experiment, check_settings
from trainables.engine.files.checkpoints import load_checkpoint


def make(
    storage: Path, data: Path, name: str = "run", training: dict[str, Any] | None = None, **workload: Any
) -> Experiment:
    settings = {
        "workload": {"name": "pruning", "pruning_times": 3, "rate": 0.3, "criterion_batches": 1, **workload},
        "training": {
            "epochs": 2,
            "batch_size": 640,
            "log_every_steps": 1,
            "keep_checkpoints": 100,
            "checkpoint_every_steps": 1,
            "optimizer": {"name": "sgd", "learning_rate": 0.05},
            **(training or {}),
        },
        "scaling": {"num_workers": 0, "threads_per_worker": 1},
        "storage": {"path": str(storage)},
        "tracking": {"run_name": name},
    }
    settings["workload"]["data"] = {"prepared": str(data)}
    return check_settings(settings, origin="test")


def rows_of(experiment: Experiment) -> list[dict[str, Any]]:
    return [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]


def state_at(experiment: Experiment, step: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The task's state and the weights after a step."""
    checkpoint = load_checkpoint(experiment.folder, f"checkpoints/step_{step:09d}")
    return checkpoint.state["task"], checkpoint.model


def forget_after(experiment: Experiment, step: int) -> None:
    """Delete the checkpoints of later steps, so that the training goes on after this one."""
    for name in experiment.folder.names("checkpoints"):
        if int(name.removeprefix("step_")) > step:
            experiment.folder.delete(f"checkpoints/{name}")

"""Evaluation of a run's checkpoints beside its training, by Ray Train's validation tasks."""

from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import ray.train

from trainables.engine.loop.evaluation_beside import evaluate_beside
from trainables.plan import Plan
from trainables.ray_train.worker_main import run_locally
from trainables.run_paths import CHECKPOINTS


def validation_config(plan: Plan) -> ray.train.ValidationConfig | None:
    """Return how Ray evaluates the checkpoints of a run, in a process as large as a worker; None: the workers do."""
    if plan.run.training.evaluate != "beside":
        return None
    bundle = plan.scaling.worker_resources(plan.uses_gpu)
    options: dict[str, Any] = {
        "num_cpus": bundle.pop("CPU", 0),
        "num_gpus": bundle.pop("GPU", 0),
        "memory": bundle.pop("memory", None),
        "resources": bundle,
        "label_selector": dict(plan.scaling.labels) or None,
        "scheduling_strategy": "DEFAULT",  # not in the place of the trial, which has room for nothing
    }
    validate: Any = partial(_validate, plan=plan)
    return ray.train.ValidationConfig(validate, ray_remote_kwargs=options)


def _validate(checkpoint: ray.train.Checkpoint, plan: Plan) -> dict[str, float]:
    """Evaluate a checkpoint in this process, which reads the rows as they are evaluated."""
    name = f"{CHECKPOINTS}/{PurePosixPath(checkpoint.path).name}"
    scaling = plan.scaling.model_copy(update={"num_workers": 1, "parallel": "ddp"})
    return run_locally(replace(plan, feed="stream", scaling=scaling), partial(evaluate_beside, checkpoint=name))

"""Evaluation of a run's checkpoints beside its training, by Ray Train's validation tasks."""

import time
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import ray.train

from trainables.engine.loop.evaluation_beside import evaluate_beside, note_start, write_failure
from trainables.plan import Plan
from trainables.ray_train.worker_main import RunError, explain, run_locally
from trainables.run_paths import CHECKPOINTS

READ_S = 600.0
"""Seconds in which the training reads that an evaluation failed, and ends the run. Until then Ray keeps the checkpoint,
and the same command evaluates it again."""


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
        "max_retries": -1,  # `validate` counts them, so that the last is an error that the training reads
    }
    function: Any = partial(validate, plan=plan)
    return ray.train.ValidationConfig(function, ray_remote_kwargs=options)


def validate(checkpoint: ray.train.Checkpoint, plan: Plan) -> dict[str, float]:
    """Evaluate a checkpoint in this process, which reads the rows as they are evaluated.

    The result lies in the run's folder afterwards, also when it is an error; see `read_result`. A process that is lost
    is started again, as often as workers are.
    """
    name = f"{CHECKPOINTS}/{PurePosixPath(checkpoint.path).name}"
    scaling = plan.scaling.model_copy(update={"num_workers": 1, "parallel": "ddp"})
    try:
        num_lost = note_start(plan.folder, name)
        if num_lost > plan.run.training.max_failures:
            raise RunError(
                f"its process was lost {num_lost} times, perhaps for want of memory; the same command tries it again"
            )
        return run_locally(replace(plan, feed="stream", scaling=scaling), partial(evaluate_beside, checkpoint=name))
    except Exception as error:
        failure = error if isinstance(error, RunError) else RunError(explain(error))
        write_failure(plan.folder, name, str(failure), is_bad_input=failure.is_bad_input)
        time.sleep(READ_S)
        raise

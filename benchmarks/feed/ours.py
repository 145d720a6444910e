"""A worker that takes batches from the feed and trains nothing, on Ray Train or without Ray; prints rows per second."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import ray

from benchmarks.feed.rate import measure_rate
from ray_jobs.cluster.connection import SETTINGS
from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import Experiment, check_settings
from trainables.engine.loop.worker_context import WorkerContext
from trainables.plan import Plan
from trainables.ray_train.run_datasets import build_datasets
from trainables.ray_train.run_trainable import build_trainer
from trainables.ray_train.worker_main import run_locally
from trainables.run import Run

ROOT = Path(__file__).resolve().parents[2]


def take_all(run: Run, worker: WorkerContext, *, began: float, root: int) -> dict[str, Any]:
    """Whole epochs, one after another."""
    batch_size = run.training.batch_size // worker.collectives.world_size
    return measure_rate(lambda epoch: worker.feed.epoch(epoch, 0), batch_size, began=began, root=root)


def main() -> None:
    """Do what the arguments file says; the object store has `store_bytes`, if they are given."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    experiment = check_settings(arguments["settings"], origin="benchmark")
    action = partial(take_all, began=arguments["began"], root=os.getpid())
    if experiment.scaling.num_workers == 0:
        print(json.dumps(run_locally(plan_of(experiment), action)))
        return
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        object_store_memory=arguments.get("store_bytes"),
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {**SETTINGS, "PYTHONPATH": str(ROOT)}},
    )
    plan = plan_of(experiment)
    print(json.dumps(build_trainer(plan, build_datasets(plan), action=action).fit().return_value))


def plan_of(experiment: Experiment) -> Plan:
    """Prepares the data, if that was not done."""
    experiment.folder.make()
    return build_plan(experiment)


if __name__ == "__main__":
    main()

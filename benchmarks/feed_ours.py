"""A Ray Train worker that takes batches from the feed and trains nothing; prints rows per second."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import ray

from benchmarks.feed_rate import measure_rate
from ray_jobs.cluster import SETTINGS
from ray_jobs.experiment import check_settings
from ray_jobs.planning import build_plan
from trainables.engine.worker import Worker
from trainables.run import Run
from trainables.trainable import build_trainer, start_decoding

ROOT = Path(__file__).resolve().parent.parent


def take_all(run: Run, worker: Worker) -> dict[str, Any]:
    """Whole epochs, one after another."""
    return measure_rate(lambda epoch: worker.feed.epoch(epoch, 0), run.training.batch_size)


def main() -> None:
    """Do what the arguments file says; the object store has `store_bytes`, if they are given."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        object_store_memory=arguments.get("store_bytes"),
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {**SETTINGS, "PYTHONPATH": str(ROOT)}},
    )
    experiment = check_settings(arguments["settings"], origin="benchmark")
    experiment.folder.make()
    plan = build_plan(experiment)
    print(json.dumps(build_trainer(plan, start_decoding(plan), action=take_all).fit().return_value))


if __name__ == "__main__":
    main()

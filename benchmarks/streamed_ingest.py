"""A Ray Train worker that takes every batch of two epochs from the feed and trains nothing; prints rows per second."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import ray

from ray_jobs.cluster import SETTINGS
from ray_jobs.experiment import check_settings
from ray_jobs.planning import build_plan
from trainables.engine.worker import Worker
from trainables.run import Run
from trainables.trainable import build_trainer

ROOT = Path(__file__).resolve().parent.parent
NUM_EPOCHS = 2


def take_all(run: Run, worker: Worker) -> dict[str, Any]:
    """Rows that came, and how many a second, of the second epoch."""
    rows = seconds = 0.0
    for epoch in range(1, NUM_EPOCHS + 1):
        began, rows = time.perf_counter(), 0
        for batches in worker.feed.epoch(epoch, 0):
            rows += sum(len(batch["label"]) for batch in batches)
        seconds = time.perf_counter() - began
    return {"rows": rows, "rows_per_s": rows / seconds}


def main() -> None:
    """Do what the arguments file says."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        object_store_memory=arguments["store_bytes"],
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {**SETTINGS, "PYTHONPATH": str(ROOT)}},
    )
    experiment = check_settings(arguments["settings"], origin="benchmark")
    experiment.folder.make()
    trainer = build_trainer(build_plan(experiment), {}, action=take_all)
    print(json.dumps(trainer.fit().return_value))


if __name__ == "__main__":
    main()

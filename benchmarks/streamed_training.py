"""One streamed training on a Ray cluster with an object store of a given size; prints its rows per second."""

import json
import statistics
import sys
from pathlib import Path

import ray

from ray_jobs.cluster import SETTINGS
from ray_jobs.experiment import check_settings
from ray_jobs.launch import train
from ray_jobs.record import Record


def main() -> None:
    """Train as the arguments file says."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=arguments["store_bytes"],
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": SETTINGS},
    )
    rates = []
    apply = Record.apply

    def listen(self, report) -> None:
        if report["rows"]:
            rates.append(report["speed"]["samples_per_s"])
        apply(self, report)

    Record.apply = listen
    train(check_settings(arguments["settings"], origin="benchmark"))
    print(json.dumps({"rows_per_s": statistics.median(rates)}))


if __name__ == "__main__":
    main()

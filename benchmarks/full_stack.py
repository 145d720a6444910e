"""L2: one training by `train` on a Ray cluster of this machine, and the speed that its reports tell."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from ray_jobs.experiment import check_settings
from ray_jobs.launch import train
from ray_jobs.record import Record
from trainables.engine.report import Report


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Seconds per step of each log interval, the share of it that waited for data, and the worker's peak memory."""
    speeds = []
    apply = Record.apply

    def listen(self: Record, report: Report) -> None:
        if report["rows"]:
            speeds.append(report["speed"])
        apply(self, report)

    Record.apply = listen
    train(check_settings(settings, origin="benchmark"))
    speeds = speeds[1:]  # the first interval warms up
    return {
        "blocks": [speed["step_s"] for speed in speeds],
        "data_wait_ratio": statistics.fmean(speed["data_wait_ratio"] for speed in speeds),
        "peak_memory_mib": max(speed["peak_memory_mib"] for speed in speeds),
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(Path(sys.argv[1]).read_text()))))

"""L1 to L5: one training by `train`, or by `sweep` as its only trial, and the speed that its reports tell."""

import json
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import check_settings
from trainables.engine.files.messages import WorkerReport
from trainables.ray_train.worker_main import RunError


def measure(settings: dict[str, Any], began: float) -> dict[str, Any]:
    """Train once and measure the speed.

    Returns the seconds per step of each log interval after the first, which warms up; the seconds per step from the
    first report to the last, with all that lies between; the seconds from the start to the first step; the share of the
    time that waited for data; how busy a GPU was.
    """
    heard: list[tuple[float, WorkerReport]] = []
    apply = RunRecorder.apply

    def listen(self: RunRecorder, report: WorkerReport) -> None:
        if report["rows"]:
            heard.append((time.time(), report))
        apply(self, report)

    RunRecorder.apply = listen
    _train(settings)
    assert heard[-1][1]["is_finished"], "the training did not reach its end"
    (first_at, first), (last_at, last) = heard[0], heard[-1]
    speeds = [report["speed"] for _, report in heard[1:]]
    samples = [report["system"].get("system/rank_0/gpu_utilization_percent") for _, report in heard[1:]]
    busy = [sample for sample in samples if sample is not None]
    return {
        "blocks": [speed["step_s"] for speed in speeds],
        "wall_step_s": (last_at - first_at) / (last["step"] - first["step"]),
        "first_s": first_at - began - first["step"] * first["speed"]["step_s"],
        "data_wait_ratio": statistics.fmean(speed["data_wait_ratio"] for speed in speeds),
        "gpu_percent": statistics.fmean(busy) if busy else None,
    }


def _train(settings: dict[str, Any]) -> None:
    experiment = check_settings(settings, origin="benchmark")
    if experiment.search is None:
        train(experiment)
        return
    from ray_jobs.search.sweep import sweep
    from ray_jobs.search.sweep_plan import build_sweep_plan

    with suppress(RunError):  # nothing was evaluated, so there is no best trial
        sweep(build_sweep_plan(experiment, "benchmark"))


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(Path(sys.argv[1]).read_text()))))

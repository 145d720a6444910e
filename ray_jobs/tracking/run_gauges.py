"""Gauges of running trainings among the metrics that Ray exports to Prometheus."""

from collections.abc import Callable
from typing import Any

from ray import tune
from ray.util.metrics import Gauge

from trainables.engine.files.messages import WorkerReport

TAGS = ("run",)
WORDS = {
    "quintet_step": "Optimiser steps done.",
    "quintet_num_steps": "Optimiser steps in all.",
    "quintet_epoch": "The running epoch.",
    "quintet_loss": "Loss of the last step that was reported.",
    "quintet_learning_rate": "Learning rate of the coming step.",
    "quintet_samples_per_second": "Samples a second over all workers, since the last report.",
    "quintet_data_wait_ratio": "Share of the stepping time that was spent waiting for data.",
    "quintet_evaluation_seconds": "Seconds of evaluation since the last report.",
    "quintet_checkpoint_seconds": "Seconds that the last checkpoint took.",
    "quintet_mfu": "Share of the peak of worker 0's GPU that the steps since the last report used.",
    "quintet_peak_memory_bytes": "Peak memory of worker 0, of its GPU where it has one.",
}
"""Each gauge's description; Ray puts `ray_` before the names."""


class RunGauges(tune.Callback):
    """Callback that sets the gauges by the reports in Tune's results, which it leaves as they are.

    `name_of` returns the name of a trial's run, by Tune's id of the trial.
    """

    def __init__(self, name_of: Callable[[str], str]):
        self._name_of = name_of
        self._gauges = {name: Gauge(name, description=words, tag_keys=TAGS) for name, words in WORDS.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore of its own, which is never used

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Set the gauges, if there is a report."""
        if "report" in result:
            tags = {"run": self._name_of(trial.trial_id)}
            for name, value in find_values(result["report"]).items():
                self._gauges[name].set(value, tags=tags)


def find_values(report: WorkerReport) -> dict[str, float]:
    """Return the value of each gauge that a report tells."""
    speed = report["speed"]
    found = {
        "quintet_step": report["step"],
        "quintet_num_steps": report["num_steps"],
        "quintet_epoch": report["epoch"],
        "quintet_loss": report["metrics"].get("train/loss", report["metrics"].get("loss")),
        "quintet_learning_rate": report["learning_rate"],
        "quintet_samples_per_second": speed["samples_per_s"],
        "quintet_data_wait_ratio": speed["data_wait_ratio"],
        "quintet_evaluation_seconds": speed["evaluation_s"],
        "quintet_checkpoint_seconds": speed.get("checkpoint_s"),
        "quintet_mfu": report["system"].get("system/mfu"),
        "quintet_peak_memory_bytes": speed["peak_memory_mib"] * 2**20,
    }
    return {name: float(value) for name, value in found.items() if value is not None}

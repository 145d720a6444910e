"""Tune run of one trial that trains a Plan."""

import uuid
from collections.abc import Sequence
from typing import Any

from ray import tune

from ray_jobs.cluster.placement_groups import GroupRemover
from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.tracking.run_gauges import RunGauges
from trainables.plan import Plan
from trainables.ray_train.run_datasets import build_datasets
from trainables.ray_train.run_trainable import RunTrainable, this_node
from trainables.ray_train.worker_main import RunError

TRIAL_RESOURCES = {"CPU": 0.0, "memory": 1024.0}
"""The trial only waits for its workers; Ray refuses an empty request, so it holds a kilobyte."""


class _Recorder(tune.Callback):
    """Callback that applies the reports in Tune's results to the record; lives in the driver."""

    def __init__(self, record: RunRecorder):
        self.record = record
        self.error: RunError | None = None

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        if "report" in result:
            self.record.apply(result.pop("report"))
        if "message" in result:
            self.record.log(result["message"], level="WARNING")
        if "error" in result:
            self.record.flush()
            self.error = RunError(result["error"], result["trace"], result["is_bad_input"])


def beside_the_driver() -> tune.PlacementGroupFactory:
    """Return a trial's resources on the driver's machine, so that the loss of another machine ends no trial."""
    return tune.PlacementGroupFactory([TRIAL_RESOURCES], bundle_label_selector=[this_node()])


def run_trial(plan: Plan, record: RunRecorder, trackers: Sequence[tune.Callback] = ()) -> None:
    """Train by Tune and Ray Train until the end, or until the run is asked to stop. Raises RunError when it fails.

    `trackers` are called with each result after the record has applied it.
    """
    trainable = tune.with_parameters(RunTrainable, plan=plan, datasets=build_datasets(plan))
    recorder = _Recorder(record)
    tuner = tune.Tuner(
        tune.with_resources(trainable, beside_the_driver()),
        run_config=tune.RunConfig(
            name=f"tune_{uuid.uuid4().hex[:8]}",
            storage_path=(plan.folder / "ray").uri,
            callbacks=[GroupRemover(), RunGauges(lambda _: plan.run_id), recorder, *trackers],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=plan.run.training.max_failures),
        ),
    )
    try:
        [result] = tuner.fit()
    finally:
        record.flush()
    if recorder.error:
        raise recorder.error
    if result.error:
        raise RunError(f"the trial was lost: {result.error}")
    if record.last is None or not (record.last["is_finished"] or "stopped_by" in record.last):
        raise RunError("the training was interrupted before its end; the same command goes on with it")
    plan.folder.delete("ray")

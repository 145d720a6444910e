"""The Ray Trainable of every workload: a Tune trial that drives a TorchTrainer and cleans up after it.

The trial's actor holds no CPU. Rank 0 passes each report through a queue to the trial, which returns it as one Tune
result; when Tune stops the trial, Ray Train's controller ends the workers and frees what they hold.
Checkpoints are the engine's own, under the run's folder, so the next start (by Ray Train after the loss of a worker, by
Tune after the loss of this actor, or by the user with the same command) resumes the newest undamaged one.
"""

import math
import os
import threading
import time
from contextlib import suppress
from typing import Any

import ray
import ray.train
from ray import tune
from ray.exceptions import RayActorError
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue

from trainables.engine.loop.loop import run_training
from trainables.plan import Plan
from trainables.ray_train.run_datasets import RowShares, RunDatasets
from trainables.ray_train.validation import validation_config
from trainables.ray_train.worker_main import RunError, WorkerFn, ray_train_loop
from trainables.run import Scaling

END_TIMEOUT_S = 30.0
"""How long the workers of a trial may take to end."""
START_TIMEOUT_S = 120
"""How long one attempt to start the workers waits for their resources."""
ELASTIC_TIMEOUT_S = 30
"""The same for a run that may start with fewer workers."""
MAX_STARTS = 3
"""Attempts to start the workers, besides those during `scaling.wait_for_nodes_s`, before the run gives up."""
START_FAILURES = (
    "WorkerGroupStartupTimeoutError", "WorkerGroupStartupFailedError", "InsufficientClusterResourcesError"
)  # fmt: skip
"""Names of Ray Train's errors of a controller that got no workers; Ray has no public classes for them."""
RESIZE_S = 10.0
"""Seconds between two looks of a run with fewer workers than it asked for at what the cluster has."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Ray Train's list of the checkpoints that were reported, in the run's folder, for `ray.train.Result.from_path`. It is
not resumed from: one that a kill has cut off would end the run."""
START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
NODE_ID = "ray.io/node-id"
"""Label that Ray gives to every machine."""


class _Relay(ray.train.UserCallback):
    """Ray Train callback, in its controller, that tells the trial who the controller is, and which workers are lost."""

    def __init__(self, messages: Queue):
        self._messages, self._is_known = messages, False

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        if not self._is_known:
            self._is_known = True
            self._put("started", None)

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        fatal = [
            error for error in worker_exceptions.values() if any(isinstance(inner, RunError) for inner in _chain(error))
        ]
        if fatal:
            self._put("failed", as_run_error(fatal[0]))
        else:
            ranks = ", ".join(str(rank) for rank in sorted(worker_exceptions))
            self._put("lost", f"worker {ranks} was lost; restarting all workers from the last checkpoint")

    def _put(self, kind: str, content: Any) -> None:
        self._messages.put((kind, content, ray.get_runtime_context().current_actor))


class RunTrainable(tune.Trainable):
    """Trial of one run; `tune.with_parameters` passes its `plan` and its `datasets` to `setup`."""

    def setup(self, config: dict[str, Any], *, plan: Plan, datasets: RunDatasets) -> None:  # pyright: ignore
        """Store the plan, and the datasets, which the driver owns.

        Nothing starts before the first step, because a checkpoint may be put in place after this.
        """
        self._plan, self._datasets = plan, datasets
        self._thread: threading.Thread | None = None
        self._controller: Any = None
        self._is_finished = False

    def step(self) -> dict[str, Any]:
        """Wait for the next `report` of rank 0, a `message` for the log, or the `error` that ends the trial."""
        if self._thread is None:
            self._launch()
        kind, content = self._next_message()
        while kind == "started":
            kind, content = self._next_message()
        if kind == "group":
            return {"placement_group": content}
        if kind == "lost":
            return {"message": content}
        if kind == "failed":
            return {
                "error": str(content),
                "trace": content.trace,
                "is_bad_input": content.is_bad_input,
                "done": True,
            }
        self._is_finished = content["is_finished"] or "stopped_by" in content
        return {**content["metrics"], "report": content, "done": self._is_finished}

    def _next_message(self, timeout_s: float | None = None) -> tuple[str, Any]:
        kind, content, controller = self._messages.get(timeout=timeout_s)
        self._controller = controller or self._controller
        return kind, content

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: the engine keeps the run's checkpoints."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing: the workers find the newest checkpoint themselves."""

    def cleanup(self) -> None:
        """End the workers and free what they hold; called by Tune when the trial ends.

        A finished run ends by itself, so that Ray knows it as finished.
        """
        if self._thread is None:
            return
        deadline, is_aborted = time.monotonic() + END_TIMEOUT_S, self._is_finished
        while self._thread.is_alive() and time.monotonic() < deadline:
            if self._controller is not None and not is_aborted:
                self._controller.abort.remote()
                is_aborted = True
            with suppress(Empty):
                self._next_message(timeout_s=0.1)  # a worker, or the controller, may wait for room
        self._messages.shutdown()

    def _launch(self) -> None:
        self._plan.folder.delete(SNAPSHOT)
        self._messages = Queue(maxsize=1, actor_options={"num_cpus": 0, "label_selector": this_node()})
        trainer = build_trainer(self._plan, self._datasets, action=run_training, messages=self._messages)
        self._thread = threading.Thread(target=self._fit, args=(trainer, self._messages), daemon=True)
        self._thread.start()

    def _fit(self, trainer: TorchTrainer, messages: Queue) -> None:
        error: RunError | None = None
        try:
            trainer.fit()
        except RayActorError:
            error = RunError("the process that looks after the workers was lost")
        except BaseException as caught:
            error = as_run_error(caught)
        if not self._is_finished:
            error = error or RunError("the workers ended before the training was finished")
            messages.put(("failed", error, None))


def build_trainer(
    plan: Plan, datasets: RunDatasets, *, action: WorkerFn, messages: Queue | None = None
) -> TorchTrainer:
    """Build a trainer whose workers run `action`, and whose folder is that of the run.

    `datasets` are those of `build_datasets`, each worker runs `action`, and `messages` gets what `step` of RunTrainable
    reads.
    """
    scaling, training = plan.scaling, plan.run.training
    timeout_s, num_starts = _patience(scaling)
    os.environ[START_TIMEOUT] = str(timeout_s)  # there is no parameter; Ray passes it on to its controller
    return TorchTrainer(
        ray_train_loop,
        train_loop_config={"plan": plan, "action": action, "messages": messages},
        datasets={**datasets},
        dataset_config=RowShares(plan),
        validation_config=validation_config(plan),
        scaling_config=ray.train.ScalingConfig(
            num_workers=(scaling.min_workers, scaling.num_workers) if scaling.min_workers else scaling.num_workers,
            elastic_resize_monitor_interval_s=RESIZE_S,
            use_gpu=plan.uses_gpu,
            resources_per_worker=scaling.worker_resources(plan.uses_gpu),
            label_selector=dict(scaling.labels) or None,
            placement_strategy=scaling.placement_strategy,
        ),
        run_config=ray.train.RunConfig(
            name=plan.folder.name,
            storage_path=plan.folder.parent.uri,
            callbacks=None if messages is None else [_Relay(messages)],
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=training.keep_checkpoints),
            failure_config=ray.train.FailureConfig(
                max_failures=training.max_failures, controller_failure_limit=num_starts
            ),
        ),
    )


def _patience(scaling: Scaling) -> tuple[int, int]:
    """Return the seconds of an attempt to start the workers, and the number of further attempts.

    An elastic run tries again soon with what there is then, because Ray may know a lost machine for a while yet, and
    waits for its fewest workers without an end.
    """
    if scaling.min_workers:
        return ELASTIC_TIMEOUT_S, -1
    return START_TIMEOUT_S, MAX_STARTS - 1 + math.ceil(scaling.wait_for_nodes_s / START_TIMEOUT_S)


def as_run_error(error: BaseException) -> RunError:
    """Return the error to show to the user for a failed Ray Train run."""
    chain = _chain(error)
    for inner in chain:
        if isinstance(inner, RunError):
            return inner
    if any(type(inner).__name__ in START_FAILURES for inner in chain):
        return RunError(
            f"the workers did not start: {error}; the cluster may lack machines, and if it grows, raise "
            "scaling.wait_for_nodes_s. The same command goes on from the last checkpoint"
        )
    if any(isinstance(inner, ray.train.ControllerError) for inner in chain):
        return RunError(f"Ray Train failed: {error}; the same command goes on from the last checkpoint")
    return RunError(f"{type(error).__name__}: {error}")


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error and all errors that Ray wrapped in it."""
    found, waiting = [], [error]
    while waiting:
        inner = waiting.pop(0)
        if inner in found:
            continue
        found.append(inner)
        wrapped = [getattr(inner, name, None) for name in ("cause", "__cause__", "controller_failure")]
        waiting += [other for other in wrapped if other is not None]
        waiting += list(getattr(inner, "worker_failures", {}).values())
    return found


def this_node() -> dict[str, str]:
    """Return the label selector of this process's machine."""
    return {NODE_ID: ray.get_runtime_context().get_node_id()}

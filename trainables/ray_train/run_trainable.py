"""The Ray Trainable of every workload: a Tune trial that drives a TorchTrainer and cleans up after it.

The trial's actor holds no CPU; it runs Ray Train's controller in a thread, forwards each report of rank 0 as one Tune
result, and when Tune stops the trial it ends the workers and their placement group at once. Checkpoints are the
engine's own, under the run's folder, so the next start (by Ray Train after the loss of a worker, by Tune after the loss
of this actor, or by the user with the same command) resumes the newest undamaged one.
"""

import queue
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

import ray.train
from ray import tune

from trainables.engine.loop.loop import run_training
from trainables.plan import Plan
from trainables.ray_train.run_datasets import RowShares, RunDatasets
from trainables.ray_train.worker_count import ElasticTrainer, WorkerCount
from trainables.ray_train.worker_main import RunError, WorkerFn, ray_train_loop

ABORT_TIMEOUT_S = 30.0
LEAVE_EARLY_S = 3.0
"""How long before the announced end of a machine its workers are ended; workers lost with the machine count as a
failure."""


Messages = queue.Queue[tuple[str, Any]]
"""Messages of the training thread: a `report` of rank 0, workers that were `lost`, or how the run `failed`."""


class _Relay(ray.train.UserCallback):
    """Ray Train callback that forwards every report, and errors that no restart can cure, to the trial."""

    def __init__(self, messages: Messages):
        self._messages = messages

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        self._messages.put(("report", metrics[0]["report"]))

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        fatal = [error for error in worker_exceptions.values() if _is_fatal(error)]
        if fatal:
            self._messages.put(("failed", as_run_error(fatal[0])))
        else:
            ranks = ", ".join(str(rank) for rank in sorted(worker_exceptions))
            self._messages.put(("lost", f"worker {ranks} was lost; restarting all workers from the last checkpoint"))


class RunTrainable(tune.Trainable):
    """Trial of one run; `tune.with_parameters` passes its `plan` and its `datasets` to `setup`."""

    def setup(self, config: dict[str, Any], *, plan: Plan, datasets: RunDatasets) -> None:  # pyright: ignore
        """Store the plan. Nothing starts before the first step, because a checkpoint may be put in place after this.

        Args:
            config: Not used by a single run.
            plan: The run's plan.
            datasets: The run's datasets, which the driver owns.
        """
        self._plan, self._datasets = plan, datasets
        self._messages: Messages = queue.Queue(maxsize=1)
        self._thread: threading.Thread | None = None

    def step(self) -> dict[str, Any]:
        """Wait for the next `report` of rank 0, a `message` for the log, or the `error` that ends the trial."""
        if self._thread is None:
            self._launch()
        kind, content = self._messages.get()
        if kind == "lost":
            return {"message": content}
        if kind == "failed":
            return {
                "error": str(content),
                "trace": content.trace,
                "is_bad_input": content.is_bad_input,
                "done": True,
            }
        return {**content["metrics"], "report": content, "done": content["is_finished"] or "stopped_by" in content}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: the engine keeps the run's checkpoints."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing: the workers find the newest checkpoint themselves."""

    def cleanup(self) -> None:
        """End the workers and free their placement group; called by Tune when the trial stops."""
        if self._thread is None:
            return
        self._trainer.abort()
        deadline = time.monotonic() + ABORT_TIMEOUT_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            with suppress(queue.Empty):  # the thread may be blocked on a full queue
                self._messages.get(timeout=0.05)

    def _launch(self) -> None:
        self._trainer = build_trainer(self._plan, self._datasets, action=run_training, listener=_Relay(self._messages))
        self._thread = threading.Thread(target=self._fit, daemon=True)
        self._thread.start()

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:
            self._messages.put(("failed", as_run_error(error)))
        else:
            self._messages.put(("failed", RunError("the workers ended before the training was finished")))


def build_trainer(
    plan: Plan, datasets: RunDatasets, *, action: WorkerFn, listener: ray.train.UserCallback | None = None
) -> ElasticTrainer:
    """Build a trainer whose workers run `action`; its name is new, so that Ray Train resumes no snapshot of its own.

    Args:
        plan: The run's plan.
        datasets: Its datasets, see `build_datasets`.
        action: What each worker runs.
        listener: Ray Train callback in this process.
    """
    scaling = plan.scaling
    resources = {"CPU": scaling.cpus_per_worker}
    if plan.uses_gpu:
        resources["GPU"] = scaling.gpus_per_worker
    scaling_config = ray.train.ScalingConfig(
        num_workers=scaling.num_workers, use_gpu=plan.uses_gpu, resources_per_worker=resources
    )
    return ElasticTrainer(
        ray_train_loop,
        policy=WorkerCount(scaling_config, scaling, plan.run.training),
        listener=listener,
        train_loop_config={"plan": plan, "action": action},
        datasets=datasets,
        dataset_config=RowShares(plan),
        scaling_config=scaling_config,
        run_config=ray.train.RunConfig(
            name=f"train_{uuid.uuid4().hex[:8]}",
            storage_path=(plan.folder / "ray").uri,
            failure_config=ray.train.FailureConfig(
                max_failures=plan.run.training.max_failures, preemption_grace_s=-LEAVE_EARLY_S
            ),
        ),
    )


def _is_fatal(error: BaseException) -> bool:
    return any(isinstance(inner, RunError) for inner in _chain(error))


def as_run_error(error: BaseException) -> RunError:
    """Return the error to show to the user for a failed Ray Train run."""
    for inner in _chain(error):
        if isinstance(inner, RunError):
            return inner
    return RunError(f"{type(error).__name__}: {error}")


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error and all errors that Ray wrapped in it."""
    found, waiting = [], [error]
    while waiting:
        inner = waiting.pop(0)
        if inner in found:
            continue
        found.append(inner)
        wrapped = [getattr(inner, name, None) for name in ("cause", "__cause__", "_base_exc", "controller_failure")]
        waiting += [other for other in wrapped if other is not None]
        waiting += list(getattr(inner, "worker_failures", {}).values())
    return found

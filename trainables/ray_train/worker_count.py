"""Number of workers of a run: all that it asks for, or fewer while machines are missing.

Ray Train's own elastic policy decides on a view of the cluster that may be twenty seconds old, and grows between any
two steps. This policy tries all workers first, because a lost machine may come back, then takes what there is, and
grows right after a checkpoint, so that no step is repeated.
"""

import asyncio
import os
import threading
from contextlib import suppress
from typing import Any

import ray
import ray.train
from ray._private.state import state as cluster_state
from ray.train import UserCallback
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.callbacks.user_callback import UserCallbackHandler
from ray.train.v2._internal.constants import WORKER_GROUP_START_TIMEOUT_S_ENV_VAR
from ray.train.v2._internal.execution.controller.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision, ScalingDecision, ScalingPolicy
from ray.train.v2._internal.util import time_monotonic

from trainables.contract.training_config import Training
from trainables.ray_train.worker_main import RunError
from trainables.run import Scaling

START_TIMEOUT_S = 120
"""How long one attempt to start a fixed number of workers waits for their resources."""
MIN_PATIENCE_S = 20
"""Shortest time that an elastic run waits for all its workers: Ray needs up to 15 s to notice that a machine is
dead."""
MAX_STARTS = 3
"""Attempts in a row, besides those during `scaling.wait_for_nodes_s`, before the run gives up."""


def allowed_counts(scaling: Scaling, training: Training) -> list[int]:
    """Return the numbers of workers among which a global batch can be divided, ascending; the last is all workers."""
    fewest = scaling.min_workers or scaling.num_workers
    return list(range(fewest, scaling.num_workers + 1))


class WorkerCount(ScalingPolicy):
    """Scaling policy of the Train controller, called before every start of the workers and after every poll of them."""

    def __init__(self, config: ray.train.ScalingConfig, scaling: Scaling, training: Training):
        super().__init__(config)
        self._counts = allowed_counts(scaling, training)
        self._resources: Any = config.resources_per_worker
        wait_s = scaling.wait_for_nodes_s
        self._timeout_s = max(wait_s, MIN_PATIENCE_S) if scaling.min_workers else START_TIMEOUT_S
        self._starts_left = self._max_starts = -(-(MAX_STARTS * START_TIMEOUT_S + wait_s) // self._timeout_s)
        self._hopes_for_all = False

    def after_controller_start(self, train_run_context: Any) -> None:
        """Set the start timeout, which the first worker group reads from the environment."""
        os.environ[WORKER_GROUP_START_TIMEOUT_S_ENV_VAR] = str(self._timeout_s)
        super().after_controller_start(train_run_context)

    def _get_num_workers_for_resource_request(self) -> int:
        return self._counts[-1]

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """Choose the number of workers at the start, after a loss, and after an attempt that timed out.

        Raises RunError when no attempts are left.
        """
        self._maybe_send_resource_request()
        if not self._starts_left:
            raise RunError(
                f"{self._counts[0]} workers did not start in {self._max_starts} attempts of {self._timeout_s} s: the "
                "cluster lacks machines; if it grows, raise scaling.wait_for_nodes_s. The same command goes on from "
                "the last checkpoint"
            )
        self._starts_left -= 1
        count = self._counts[-1] if self._hopes_for_all else max(self._find_room(), self._counts[0])
        self._hopes_for_all = False
        return self._resize(count)

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: Any
    ) -> ScalingDecision:
        """Decide after every poll of healthy workers; add workers when a checkpoint has arrived and there is room."""
        self._maybe_send_resource_request()
        self._starts_left, self._hopes_for_all = self._max_starts, True
        count = worker_group_state.num_workers
        if count == self._counts[-1] or not _brings_checkpoint(worker_group_status):
            return NoopDecision()
        is_settled = time_monotonic() - worker_group_state.start_time >= self._timeout_s
        if not is_settled or (room := self._find_room()) <= count:
            return NoopDecision()
        self._hopes_for_all = False
        return self._resize(room)

    def _resize(self, count: int) -> ResizeDecision:
        return ResizeDecision(count, self._resources)

    def _find_room(self) -> int:
        """Return the largest allowed number that fits beside other runs on machines that stay; 0 if none does."""
        coordinator: Any = self._autoscaling_coordinator
        reserved: Any = ray.get(coordinator.get_reserved_resources.remote(self._requester_id, recompute=True))
        leaving = cluster_state.get_draining_nodes()
        cpus = [have["CPU"] for node, have in reserved.items() if node not in leaving]
        room = sum(round(amount / self._resources["CPU"]) for amount in cpus)
        return max((count for count in self._counts if count <= room), default=0)


def _brings_checkpoint(status: Any) -> bool:
    """Return whether rank 0 reports a checkpoint in this poll."""
    report = status.worker_statuses[0].training_report
    return report is not None and "checkpoint" in report.metrics.get("report", {})


class ElasticTrainer(TorchTrainer):
    """TorchTrainer with this scaling policy, whose controller is part of the actor that calls `fit`.

    Ray would start two more processes: one for the controller, and one that frees placement groups should it die (see
    `ray_jobs/cluster/placement_group_reaper.py`).
    """

    def __init__(self, *arguments: Any, policy: ScalingPolicy, listener: UserCallback | None = None, **settings: Any):
        """Create the trainer.

        Args:
            *arguments: Those of TorchTrainer.
            policy: Decides the number of workers.
            listener: Called in this process, in the thread of `fit`; need not be picklable.
            **settings: Those of TorchTrainer.
        """
        super().__init__(*arguments, **settings)
        self._policy, self._listener = policy, listener
        self._is_aborted = threading.Event()
        self._task: asyncio.Task[Any] | None = None

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        if self._listener:
            callbacks.append(UserCallbackHandler([self._listener], self.train_run_context))
        return [each for each in callbacks if not isinstance(each, PlacementGroupCleanerCallback)]

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        settings["scaling_policy"] = self._policy
        if ray.get_runtime_context().get_actor_id() is None:  # workers get a handle of the controller's actor
            return super()._initialize_and_run_controller(**settings)
        return asyncio.run(self._control(settings))

    async def _control(self, settings: dict[str, Any]) -> Any:
        self._task = asyncio.current_task()
        if self._is_aborted.is_set():
            raise asyncio.CancelledError
        controller = TrainController(**settings)
        try:
            await controller.run()
        except asyncio.CancelledError:
            self._policy.before_controller_abort()
            if group := controller.get_worker_group():
                group.abort()
            raise
        return controller.get_result()

    def abort(self) -> None:
        """Abort from another thread: `fit` ends the workers, frees their resources and raises CancelledError."""
        self._is_aborted.set()
        if self._task:
            with suppress(RuntimeError):  # the event loop has just ended
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

"""Entry point of each training process: build the worker's surroundings, then run the requested action."""

import errno
import logging
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from data_pipelines.contract.pipeline import DataPipeline, Split
from data_pipelines.prepared.ray_dataset import cause_of, is_ray_error
from trainables.engine.data.dataset_statistics import DatasetStatisticsCache
from trainables.engine.data.feed import Feed
from trainables.engine.data.rows import RowSource
from trainables.engine.files.checkpoints import deleted_by_nobody
from trainables.engine.files.messages import WorkerReport
from trainables.engine.loop.worker_context import CancelledError, WorkerContext
from trainables.engine.process.collectives import ProcessGroup
from trainables.engine.process.malloc_settings import set_malloc_thresholds, take_arrow_buffers_from_malloc
from trainables.plan import Plan
from trainables.ray_train.row_sources import build_local_sources, build_ray_sources
from trainables.run import Run
from trainables.run_paths import CHECKPOINTS

logger = logging.getLogger(__name__)
MIN_PATIENCE_S = 20
"""Shortest time for which an elastic run waits for all its workers: Ray needs up to 15 s to notice that a machine is
dead, and looks for room every ten seconds."""
ABORT_S = 30.0
"""Seconds in which the trial ends a worker that has failed for good. One that raised at once would be started again by
Ray, beside the trial's end."""


class RunError(RuntimeError):
    """Failure of a run that a restart would only repeat; the message is for the user."""

    def __init__(self, message: str, trace: str = "", is_bad_input: bool = False):
        super().__init__(message, trace, is_bad_input)
        self.trace = trace
        """The traceback in the worker, for the log."""
        self.is_bad_input = is_bad_input
        """Whether a file or a setting of the user is the cause."""

    def __str__(self) -> str:
        return self.args[0]


WorkerFn = Callable[[Run, WorkerContext], Any]
"""Action of a worker with its surroundings: train, or evaluate a saved model."""
BuildSources = Callable[[Plan, DataPipeline], dict[Split, RowSource]]
"""Builder of a worker's row sources."""


def run_locally(
    plan: Plan,
    action: WorkerFn,
    report: Callable[[WorkerReport], None] = print,
    is_cancelled: Callable[[], bool] = lambda: False,
    build_sources: BuildSources = build_local_sources,
) -> Any:
    """Run `action` in this process, without a worker group, and return its result.

    `report` is called with every report, `is_cancelled` is checked before every step, and `build_sources` gives the
    rows; by default this process reads them.

    Raises:
        RunError: The action failed; the message is for the user.
        CancelledError: `is_cancelled` returned True.
    """
    pipeline = plan.workload.build_pipeline(plan.run.workload)
    device = torch.device("cuda" if plan.uses_gpu else "cpu")
    process = Runtime(device, lambda module: module, report, is_cancelled)
    return _work(plan, pipeline, build_sources, action, process)


def ray_train_loop(config: dict[str, Any]) -> Any:
    """Train function of a TorchTrainer; `config` holds the `plan`, the `action` and the queue of `messages`."""
    import ray.train
    import ray.train.torch
    import ray.util

    from trainables.ray_train.reported_checkpoints import ReportedCheckpoints, reported_metrics

    plan, messages = config["plan"], config["messages"]
    context = ray.train.get_context()
    is_first = context.get_world_rank() == 0
    checkpoints = ReportedCheckpoints(plan.folder) if is_first else None
    if messages is not None:
        if is_first:
            messages.put(("group", ray.util.get_current_placement_group(), None))
        ray.train.report({})  # tells the trial who the controller is
    _wait_for_all_workers(plan, context.get_world_size())

    def wrap(module: nn.Module) -> nn.Module:
        return ray.train.torch.prepare_model(module, move_to_device=False)

    def report(content: WorkerReport) -> None:
        if checkpoints is None:
            ray.train.report({})
            return
        if messages is not None:
            messages.put(("report", content, None))
        name = content.get("checkpoint")
        checkpoint = checkpoints.add(name) if name else None
        ray.train.report(
            reported_metrics(plan.folder, content),
            checkpoint=checkpoint,
            checkpoint_upload_mode=ray.train.CheckpointUploadMode.NO_UPLOAD,
            validation=checkpoint is not None and content.get("evaluates", False),
        )

    def preemption_notice() -> str | None:
        info = ray.train.get_preemption_info()
        return describe_drain(info.deadline_ms, len(info.preempted_node_ids)) if info else None

    pipeline = plan.workload.build_pipeline(plan.run.workload)
    process = Runtime(
        ray.train.torch.get_device(),
        wrap,
        report,
        preemption_notice=preemption_notice,
        is_deleted_elsewhere=checkpoints.has if checkpoints else deleted_by_nobody,
        is_evaluation_failed=checkpoints.is_failed if checkpoints else lambda name: False,
    )
    try:
        return _work(plan, pipeline, build_ray_sources, config["action"], process)
    except RunError as error:
        if messages is not None:
            messages.put(("failed", error, None))
            time.sleep(ABORT_S)
        raise


def _wait_for_all_workers(plan: Plan, world_size: int) -> None:
    """Wait for Ray to resize an elastic run that resumes with fewer workers than it asks for; a resize ends this.

    A lost machine may come back, and Ray starts with what there is.
    """
    scaling = plan.scaling
    if scaling.min_workers and world_size < scaling.num_workers and plan.folder.names(CHECKPOINTS):
        time.sleep(max(scaling.wait_for_nodes_s, MIN_PATIENCE_S))


@dataclass(frozen=True)
class Runtime:
    """Differences between a Ray worker and a local process."""

    device: torch.device
    wrap: Callable[[nn.Module], nn.Module]
    report: Callable[[WorkerReport], None]
    is_cancelled: Callable[[], bool] = lambda: False
    preemption_notice: Callable[[], str | None] = lambda: None
    is_deleted_elsewhere: Callable[[str], bool] = deleted_by_nobody
    is_evaluation_failed: Callable[[str], bool] = lambda name: False


def describe_drain(deadline_ms: int | None, num_machines: int) -> str:
    """Describe the cluster's announcement in words; `deadline_ms` is Unix time in milliseconds, or None."""
    when = "soon" if deadline_ms is None else time.strftime("at %H:%M:%S", time.localtime(deadline_ms / 1000))
    return f"{num_machines} of the run's machines will be taken {when}"


def _work(
    plan: Plan,
    pipeline: DataPipeline,
    build_sources: BuildSources,
    action: WorkerFn,
    process: Runtime,
) -> Any:
    _set_up_torch(plan)
    collectives = ProcessGroup(process.device)
    try:
        feed = Feed(
            pipeline,
            build_sources(plan, pipeline),
            seed=plan.run.seed,
            batch_size=plan.run.training.batch_size,
            accumulate=plan.run.training.accumulate,
            passes=plan.run.training.passes_per_epoch,
            shuffle_window=plan.run.training.shuffle_window,
            rank=collectives.rank,
            world_size=collectives.world_size,
            device=process.device,
        )
        worker = WorkerContext(
            folder=plan.folder,
            collectives=collectives,
            device=process.device,
            wrap=process.wrap,
            is_sharded=_is_sharded(plan, collectives.world_size),
            report=process.report,
            pipeline=pipeline,
            feed=feed,
            data_spec=plan.manifest.data_spec,
            build_task=plan.workload.build_task,
            memory=DatasetStatisticsCache(plan.prepared, plan.manifest.source_hash, collectives),
            run_id=plan.run_id,
            watch=plan.watch,
            is_cancelled=process.is_cancelled,
            preemption_notice=process.preemption_notice,
            is_deleted_elsewhere=process.is_deleted_elsewhere,
            is_evaluation_failed=process.is_evaluation_failed,
            awaits_checkpoints=plan.awaits_checkpoints,
        )
        with closing(feed):
            return action(plan.run, worker)
    except CancelledError:
        raise
    except Exception as error:
        if collectives.lacks_peer(error):
            raise  # a restart helps
        is_bad_input = isinstance(cause_of(error), ValueError)
        raise RunError(explain(error), traceback.format_exc(), is_bad_input) from error


def _is_sharded(plan: Plan, world_size: int) -> bool:
    if plan.scaling.parallel == "fsdp" and world_size == 1:
        logger.warning("scaling.parallel is fsdp, and one worker is left, which holds the complete network")
    return plan.scaling.parallel == "fsdp" and world_size > 1


def _set_up_torch(plan: Plan) -> None:
    is_deterministic = plan.run.training.is_deterministic
    set_malloc_thresholds()
    take_arrow_buffers_from_malloc()
    torch.set_num_threads(plan.num_threads)
    torch.use_deterministic_algorithms(is_deterministic)
    torch.backends.cudnn.benchmark = not is_deterministic
    torch.set_float32_matmul_precision(plan.run.training.matmul_precision)


def explain(error: Exception) -> str:
    """Return one paragraph for the user."""
    cause = cause_of(error)
    if isinstance(cause, torch.OutOfMemoryError | MemoryError):
        return (
            f"out of memory: {cause}; lower training.batch_size or raise training.accumulate, or set "
            "training.activation_checkpointing, or scaling.parallel=fsdp with several workers"
        )
    if is_ray_error(cause, "OutOfDiskError", "ObjectStoreFullError"):
        return (
            "Ray's object store is full, and so is the disk that it spills to: start Ray with more "
            "--object-store-memory, free the disk of its --temp-dir, or set training.feed=stream, which keeps less"
        )
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{cause}: make room (`quintet clean` lists what old runs take), and give the same command again"
    if isinstance(cause, ValueError | ArithmeticError):
        return str(cause)
    return f"{type(cause).__name__}: {cause}"

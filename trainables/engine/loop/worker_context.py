"""Worker context: the surroundings of a training worker, built by the process that starts it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from data_pipelines.contract.pipeline import DataPipeline, DataSpec
from data_pipelines.storage.folder import Folder
from trainables.contract.task import Task
from trainables.contract.train_context import StartContext
from trainables.engine.data.dataset_statistics import DatasetStatisticsCache
from trainables.engine.data.feed import Feed
from trainables.engine.files.checkpoints import deleted_by_nobody
from trainables.engine.files.histograms import Watch
from trainables.engine.files.messages import WorkerReport
from trainables.engine.process.collectives import ProcessGroup


class CancelledError(RuntimeError):
    """Error that ends a training whose result is no longer wanted."""


@dataclass(frozen=True)
class WorkerContext:
    """Surroundings of one rank."""

    folder: Folder
    """The run's folder, on storage that all ranks reach."""
    collectives: ProcessGroup
    device: torch.device
    wrap: Callable[[nn.Module], nn.Module]
    """Makes a module distributed, each rank with a copy."""
    report: Callable[[WorkerReport], None]
    """Called by all ranks equally often; reports of ranks other than 0 are dropped."""
    pipeline: DataPipeline
    feed: Feed
    data_spec: DataSpec
    build_task: Callable[[Any, DataSpec, int], Task]
    """Builds the task from settings, data spec and seed; passed in, because the engine does not import the register."""
    memory: DatasetStatisticsCache
    run_id: str
    is_sharded: bool = False
    """Whether each rank trains a part of the module instead; see `step.sharding`."""
    watch: Watch | None = None
    is_cancelled: Callable[[], bool] = lambda: False
    """Checked before every step, on a single worker; when true, CancelledError ends the training at once."""
    is_deleted_elsewhere: Callable[[str], bool] = deleted_by_nobody
    """Whether others delete the checkpoint of a name when it is old."""
    is_evaluation_failed: Callable[[str], bool] = lambda name: False
    """Whether the process that evaluates the checkpoint of a name beside the training has ended with an error."""
    awaits_checkpoints: bool = False
    """Whether every checkpoint is complete before the report of its step."""
    preemption_notice: Callable[[], str | None] = lambda: None
    """Announcement to the run, for example of a machine that will be taken away; called by all ranks at once, and equal
    on all of them. While it holds, every report saves a checkpoint."""

    def start(self, seed: int) -> StartContext:
        """Build the context that a task gets when it begins, at the start of a stage, and before evaluations."""
        return StartContext(self.feed.ordered, self.collectives, self.device, seed, self.memory.cached)

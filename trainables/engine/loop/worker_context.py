"""What one training worker is given by whoever starts it."""

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
from trainables.engine.files.histograms import Watch
from trainables.engine.files.messages import WorkerReport
from trainables.engine.process.collectives import ProcessGroup


class CancelledError(RuntimeError):
    """Nobody waits for this training any longer."""


def never_cancelled() -> bool:
    """No one cancels."""
    return False


def no_notice() -> str | None:
    """No notice."""


@dataclass(frozen=True)
class WorkerContext:
    """The surroundings of one rank."""

    folder: Folder
    """The run's folder, on storage that all ranks reach."""
    collectives: ProcessGroup
    device: torch.device
    wrap: Callable[[nn.Module], nn.Module]
    """Makes a module distributed."""
    report: Callable[[WorkerReport], None]
    """Called by all ranks equally often; what ranks other than 0 say is dropped."""
    pipeline: DataPipeline
    feed: Feed
    data_spec: DataSpec
    build_task: Callable[[Any, DataSpec, int], Task]
    """Of the workload's register, which the engine does not know."""
    memory: DatasetStatisticsCache
    run_id: str
    watch: Watch | None = None
    is_cancelled: Callable[[], bool] = never_cancelled
    """Asked before every step, of a single worker; when it says so, CancelledError ends the training at once."""
    preemption_notice: Callable[[], str | None] = no_notice
    """What is announced to the run, such as a machine that will be taken from it; asked by all ranks at once, and the
    same on all of them. While it stands every report saves a checkpoint."""

    def start(self, seed: int) -> StartContext:
        """What a task gets when it begins, at the start of a stage, and before evaluations."""
        return StartContext(self.feed.ordered, self.collectives, self.device, seed, self.memory.recall)

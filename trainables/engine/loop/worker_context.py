"""What one training worker is given by whoever starts it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from data_pipelines.contract.pipeline import DataPipeline, Facts
from data_pipelines.storage.folder import Folder
from trainables.contract.task import Start, Task
from trainables.engine.data.dataset_statistics import DataMemory
from trainables.engine.data.feed import Feed
from trainables.engine.files.histograms import Watch
from trainables.engine.files.messages import Report
from trainables.engine.process.collectives import ProcessGroup


class CancelledError(RuntimeError):
    """Nobody waits for this training any longer."""


def never() -> bool:
    """No one cancels."""
    return False


def nothing() -> str | None:
    """No notice."""


@dataclass(frozen=True)
class Worker:
    """The surroundings of one rank."""

    folder: Folder
    """The run's folder, on storage that all ranks reach."""
    collectives: ProcessGroup
    device: torch.device
    wrap: Callable[[nn.Module], nn.Module]
    """Makes a module distributed."""
    report: Callable[[Report], None]
    """Called by all ranks equally often; what ranks other than 0 say is dropped."""
    pipeline: DataPipeline
    feed: Feed
    facts: Facts
    build_task: Callable[[Any, Facts, int], Task]
    """Of the workload's register, which the engine does not know."""
    memory: DataMemory
    run_id: str
    watch: Watch | None = None
    is_cancelled: Callable[[], bool] = never
    """Asked before every step, of a single worker; when it says so, CancelledError ends the training at once."""
    find_notice: Callable[[], str | None] = nothing
    """What is announced to the run, such as a machine that will be taken from it; asked by all ranks at once, and the
    same on all of them. While it stands every report saves a checkpoint."""

    def start(self, seed: int) -> Start:
        """What a task gets when it begins, at the start of a stage, and before evaluations."""
        return Start(self.feed.ordered, self.collectives, self.device, seed, self.memory.recall)

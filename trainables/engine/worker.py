"""What one training worker is given by whoever starts it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from data_pipelines.pipeline import DataPipeline, Facts
from trainables.engine.collectives import ProcessGroup
from trainables.engine.data_memory import DataMemory
from trainables.engine.feed import Feed
from trainables.engine.report import Report
from trainables.engine.watch import Watch
from trainables.storage import Folder
from trainables.task import Start


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

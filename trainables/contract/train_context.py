"""What the engine hands to a task: collectives, the position of the training, and batches before the first step."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from data_pipelines.contract.pipeline import Split


class Collectives(Protocol):
    """The few collective operations a workload may use; each is called by all ranks or by none."""

    rank: int
    world_size: int

    def sum(self, tensor: Tensor) -> Tensor:
        """Elementwise sum over ranks, a new tensor on every rank."""
        ...

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenation over ranks along the first dimension, which may differ between ranks."""
        ...

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        """`gather` of equal shapes through which gradients flow back, summed over the ranks that used them."""
        ...

    def gather_values(self, value: Any) -> list[Any]:
        """Every rank's value (plain data), in rank order, on every rank."""
        ...

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value (plain data and CPU tensors) on every rank."""
        ...


@dataclass(frozen=True)
class Progress:
    """Where the training stands, after a step."""

    epoch: int
    """The running epoch, counted from 1."""
    step: int
    """Optimiser steps done since the start of the run."""
    num_epochs: int
    steps_per_epoch: int
    num_stages: int = 1

    @property
    def epochs_per_stage(self) -> int:
        """Equal for all stages."""
        return self.num_epochs // self.num_stages

    @property
    def stage(self) -> int:
        """The running stage, counted from 0."""
        return (self.epoch - 1) // self.epochs_per_stage

    @property
    def ends_stage(self) -> bool:
        """Whether the running epoch is the last of its stage."""
        return self.epoch % self.epochs_per_stage == 0

    @property
    def steps_per_stage(self) -> int:
        """Optimiser steps of one stage."""
        return self.epochs_per_stage * self.steps_per_epoch


class CachedStatistic(Protocol):
    """What was learnt of the prepared data, by this run or by one before it on the same data."""

    def __call__(self, name: str, settings: Mapping[str, Any], learn: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `learn` returns, plain data and CPU tensors, the same on every rank; a collective, as `learn` may be.

        `settings`, as JSON, hold all that it follows from beside the rows of the prepared data.
        """
        ...


def no_cache(name: str, settings: Mapping[str, Any], learn: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A `CachedStatistic` that remembers nothing."""
    return learn()


@dataclass(frozen=True)
class StartContext:
    """What a task may use before the first step of the run or of a later stage, and before evaluations."""

    batches: Callable[[Split], Iterable[Any]]
    """One ordered pass over this rank's share of a split, as batches on `device`, not augmented."""
    collectives: Collectives
    device: torch.device
    seed: int
    recall: CachedStatistic = no_cache

"""Arguments of a task's hooks: collectives, the position of the training, and batches before the first step."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from data_pipelines.contract.pipeline import Split


class Collectives(Protocol):
    """Collective operations that a workload may use; each is called by all ranks or by none."""

    rank: int
    world_size: int

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the elementwise sum over ranks, a new tensor on every rank."""
        ...

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate over ranks along the first dimension, which may differ between ranks."""
        ...

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        """Gather like `gather`; gradients flow back, summed over the ranks that used them."""
        ...

    def counts(self, count: int) -> list[int]:
        """Return every rank's number, in rank order, on every rank."""
        ...

    def gather_values(self, value: Any) -> list[Any]:
        """Return every rank's value (plain data), in rank order, on every rank."""
        ...

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value (plain data and CPU tensors) on every rank."""
        ...


@dataclass(frozen=True)
class Progress:
    """Position of the training, after a step."""

    epoch: int
    """The running epoch, counted from 1."""
    step: int
    """Optimiser steps done since the start of the run."""
    num_epochs: int
    steps_per_epoch: int
    num_stages: int = 1

    @property
    def epochs_per_stage(self) -> int:
        """Epochs of one stage, equal for all stages."""
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
        return self.epochs_per_stage * self.steps_per_epoch


class CachedStatistic(Protocol):
    """Cached function of the prepared data; the result may come from an earlier run on the same data."""

    def __call__(self, name: str, settings: Mapping[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the cached or computed result of `compute`. A collective, as `compute` may be.

        `settings` are JSON values, everything the result follows from beside the rows of the prepared data. `compute`
        returns plain data and CPU tensors, the same on every rank.
        """
        ...


def no_cache(name: str, settings: Mapping[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Compute the statistic without a cache."""
    return compute()


@dataclass(frozen=True)
class StartContext:
    """Context of a task before the first step of the run or of a later stage, and before evaluations."""

    batches: Callable[[Split], Iterable[Any]]
    """One ordered pass over this rank's share of a split, as batches on `device`, not augmented."""
    collectives: Collectives
    device: torch.device
    seed: int
    cached: CachedStatistic = no_cache

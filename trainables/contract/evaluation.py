"""Evaluators, which compute metrics over the rows of a split, and their result."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Batch, Split
from trainables.contract.panels import Panel
from trainables.contract.prediction import Row
from trainables.contract.train_context import Collectives
from trainables.contract.workload_config import BASELINE


@dataclass(frozen=True)
class EvaluationResult:
    """Result of one evaluation, the same on every rank."""

    metrics: Mapping[str, float]
    """By full name, for example `eval/fid_local`; a trivial baseline is beside its metric as `baseline/<name>`."""
    panels: Sequence[Panel] = ()
    predictions: Callable[[], Sequence[Row]] = tuple
    """Returns what was scored on this rank, a row for each sample in the order of its split: `split`, truth, answer and
    scores. Samples are numbered by the engine, unless a row has its own `sample`. A training never calls it."""


class Evaluator(ABC, Generic[Batch]):
    """State of one evaluation; a new one is made for every evaluation, which runs without gradients, in eval mode.

    The module computes in `training.precision`, in trainings and in `evaluate` alike, and returns float32; the
    evaluator's own computations are not autocast.
    """

    split: Split | None = None
    """The split whose rows are passed to `update`, each row once over all ranks; None when no rows are needed."""

    @property
    def splits(self) -> Sequence[Split]:
        """The splits, when there are several; each is announced by `begin_split`."""
        return () if self.split is None else (self.split,)

    def begin_split(self, split: Split) -> None:
        """Prepare for the batches of `split`, which follow."""

    def update(self, module: nn.Module, batch: Batch) -> None:
        """Add one batch. Contains no collective, as ranks may see different numbers of batches."""

    @abstractmethod
    def compute(self, module: nn.Module) -> EvaluationResult:
        """Reduce over ranks. Contains collectives, so all ranks call it."""


class MeanMetrics(Evaluator[Batch]):
    """Means of per-sample values over all rows of each split and all ranks, in float64.

    A value `name` becomes the metric `<split>/<name>`, and `baseline/name` becomes `baseline/<split>/<name>`. A split
    without rows gives no metrics. `measure` takes the module and a batch and returns, by name, one value for each
    sample: tensors of shape [batch], the same names for every batch.
    """

    def __init__(
        self,
        measure: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
        *,
        splits: Sequence[Split],
        collectives: Collectives,
        device: torch.device,
    ):
        self._measure, self._collectives, self._device = measure, collectives, device
        self._splits = tuple(splits)
        self._sums: dict[Split, dict[str, Any]] = {split: {} for split in self._splits}
        self._counts: dict[Split, int] = dict.fromkeys(self._splits, 0)
        self._running: Split = self._splits[0]

    @property
    def splits(self) -> Sequence[Split]:
        return self._splits

    def begin_split(self, split: Split) -> None:
        self._running = split

    def update(self, module: nn.Module, batch: Batch) -> None:
        """Add the values of a batch. Raises ValueError naming values that are not one number for each sample."""
        values = self._measure(module, batch)
        shapes = {name: tuple(value.shape) for name, value in values.items()}
        if not shapes or len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1:
            raise ValueError(f"MeanMetrics needs one value for each sample, of shape [batch], and got {shapes}")
        sums = self._sums[self._running]
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value.double().sum()
        self._counts[self._running] += next(iter(shapes.values()))[0]

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Divide the sums over all ranks by the rows over all ranks; a rank without rows takes part."""
        metrics: dict[str, float] = {}
        for split in self._splits:
            sums = self._sums[split]
            names = sorted({name for names in self._collectives.gather_values(list(sums)) for name in names})
            row = [float(self._counts[split]), *(float(sums.get(name, 0.0)) for name in names)]
            total, *means = self._collectives.sum(torch.tensor(row, dtype=torch.float64)).tolist()
            metrics |= {_full_name(split, name): mean / total for name, mean in zip(names, means, strict=True)}
        return EvaluationResult(metrics)


def _full_name(split: Split, name: str) -> str:
    is_baseline = name.startswith(BASELINE)
    return f"{BASELINE if is_baseline else ''}{split}/{name.removeprefix(BASELINE)}"


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put the module in eval mode, and back into its mode after the block."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)

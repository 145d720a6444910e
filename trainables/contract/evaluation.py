"""Evaluators: what is computed over the rows of a split, and the result."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Batch, Split
from trainables.contract.panels import Panel
from trainables.contract.train_context import Collectives

BASELINE = "baseline/"
"""Before the name of a metric: the same metric of a trivial predictor."""


@dataclass(frozen=True)
class EvaluationResult:
    """The result of one evaluation, the same on every rank."""

    metrics: Mapping[str, float]
    """By full name, for example `eval/fid_local`; a trivial baseline stands beside its metric as `baseline/<name>`."""
    panels: Sequence[Panel] = ()
    files: Sequence[str] = ()
    """Files that the evaluator has written by itself on this rank, into a folder that the user named."""


class Evaluator(ABC, Generic[Batch]):
    """The state of one evaluation. Made anew for every evaluation; runs without gradients, in eval mode.

    The module computes in `training.precision`, in trainings and in `evaluate` alike, and answers in float32; the
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
    """Means of per-sample values over all rows of a split and all ranks, in float64.

    A value `name` becomes the metric `<split>/<name>`, and `baseline/name` becomes `baseline/<split>/<name>`. An empty
    split gives no metrics.

    Args:
        measure: Takes the module and a batch and returns, by name, one value for each sample: tensors of shape [batch],
            the same names for every batch.
        split: The split that is evaluated.
        collectives: Those that `Task.evaluator` gets.
        device: That of the batches.
    """

    def __init__(
        self,
        measure: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
        *,
        split: Split,
        collectives: Collectives,
        device: torch.device,
    ):
        self.split = split
        self._measure, self._collectives, self._device = measure, collectives, device
        self._names: tuple[str, ...] = ()
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def update(self, module: nn.Module, batch: Batch) -> None:
        """Add the values of a batch. Raises ValueError naming a value that is not one number for each sample."""
        values = self._measure(module, batch)
        lengths = {name: tuple(value.shape) for name, value in values.items()}
        if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
            raise ValueError(f"MeanMetrics needs one value for each sample, of shape [batch], and got {lengths}")
        for name, value in values.items():
            total = self._sums.get(name, torch.zeros((), dtype=torch.float64, device=self._device))
            self._sums[name] = total + value.double().sum()
        self._count += next(iter(lengths.values()), (0,))[0]

    def compute(self, module: nn.Module) -> EvaluationResult:
        """The means. A rank without rows takes part with nothing."""
        names = sorted({name for names in self._collectives.gather_values(list(self._sums)) for name in names})
        count = torch.tensor(float(self._count), dtype=torch.float64, device=self._device)
        zero = torch.zeros((), dtype=torch.float64, device=self._device)
        sums = torch.stack([count, *(self._sums.get(name, zero) for name in names)])
        total, *means = self._collectives.sum(sums).tolist()
        if not total:
            return EvaluationResult({})
        return EvaluationResult({self._name(name): mean / total for name, mean in zip(names, means, strict=True)})

    def _name(self, name: str) -> str:
        is_baseline = name.startswith(BASELINE)
        return f"{BASELINE if is_baseline else ''}{self.split}/{name.removeprefix(BASELINE)}"

"""Evaluator of accuracy on the validation and test splits, of the network without its marked units."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Split
from trainables.contract.evaluation import EvaluationResult, Evaluator, evaluating
from trainables.contract.prediction import Row
from trainables.contract.train_context import Collectives

SPLITS: tuple[Split, ...] = ("val", "test")


class AccuracyEvaluator(Evaluator[Mapping[str, Any]]):
    """Evaluator of classification accuracy.

    `prune` returns the network to measure, given the one that is trained, and `describe` further metrics, given the
    accuracies. `majority` is the most frequent class of the training set, for the baseline.
    """

    def __init__(
        self,
        prune: Callable[[nn.Module], nn.Module],
        describe: Callable[[dict[str, float]], dict[str, float]],
        *,
        majority: int,
        class_names: Sequence[str],
        collectives: Collectives,
        device: torch.device,
    ) -> None:
        self._prune, self._describe, self._majority = prune, describe, majority
        self._class_names, self._collectives = class_names, collectives
        self._answers: list[tuple[Split, Tensor, Tensor]] = []
        """Split, labels and logits of each batch."""
        self._network: nn.Module | None = None
        self._row = 0
        self._counts = torch.zeros(len(SPLITS), 3, dtype=torch.int64, device=device)

    @property
    def splits(self) -> Sequence[Split]:
        """Validation, which chooses the best epoch, and test."""
        return SPLITS

    def begin_split(self, split: Split) -> None:
        """Add the following batches to this split."""
        self._row = SPLITS.index(split)

    def update(self, module: nn.Module, batch: Mapping[str, Any]) -> None:
        """Count right answers, those of the most frequent class, and all samples."""
        if self._network is None:
            self._network = self._prune(module).eval()
        logits = self._network(batch["image"])
        self._counts[self._row] += count_right(logits, batch["label"], self._majority)
        self._answers.append((SPLITS[self._row], batch["label"], logits))

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Return percentages over all ranks' rows; a collective."""
        counts = self._collectives.sum(self._counts).double().cpu()
        metrics: dict[str, float] = {}
        for split, (right, trivial, total) in zip(SPLITS, counts.tolist(), strict=True):
            metrics[f"{split}_accuracy"] = 100 * right / total
            metrics[f"baseline/{split}_accuracy"] = 100 * trivial / total
        return EvaluationResult({**metrics, **self._describe(metrics)}, predictions=self._rows)

    def _rows(self) -> list[Row]:
        rows: list[Row] = []
        names = self._class_names
        for split, labels, logits in self._answers:
            answers, probabilities = logits.argmax(dim=1).tolist(), logits.float().double().softmax(dim=1).tolist()
            for label, answer, values in zip(labels.tolist(), answers, probabilities, strict=True):
                each = {f"p({name})": value for name, value in zip(names, values, strict=True)}
                rows.append({"split": split, "truth": names[int(label)], "class": names[int(answer)], **each})
        return rows


def count_right(logits: Tensor, label: Tensor, majority: int) -> Tensor:
    """Return int64 [3]: samples classified right, samples of class `majority`, all samples."""
    right = (logits.argmax(dim=1) == label).sum()
    return torch.stack([right, (label == majority).sum(), right.new_tensor(len(label))])


@torch.no_grad()
def measure_accuracy(network: nn.Module, batches: Iterable[Mapping[str, Any]], collectives: Collectives) -> float:
    """Return the accuracy in percent over all ranks' batches; a collective. The network's mode stays as it was."""
    counts = torch.zeros(3, dtype=torch.int64, device=next(network.parameters()).device)
    with evaluating(network):
        for batch in batches:
            counts += count_right(network(batch["image"]), batch["label"], majority=0)
    right, _, total = collectives.sum(counts).tolist()
    return 100 * right / total

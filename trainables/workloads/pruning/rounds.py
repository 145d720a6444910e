"""Records of the rounds, for the metrics, the tables and the pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.latency import Latency
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import find_groups, measure_size


@dataclass
class Round:
    """Record of one round; accuracies and weights in percent."""

    number: int
    """From 0, the dense round."""
    target_weight: float | None
    """(1 - rate)^number; None with a target in multiply-accumulates or latency."""
    remain_weight: float
    """Share of the dense network's prunable weights that are not zero, at the start of the round."""
    remain_weight_after: float | None = None
    """The same after the magnitude step at the round's end; the last round has none."""
    structured_sparsity: float = 0.0
    """Share of prunable weights that are physically removed at the round's end."""
    parameters: int = 0
    macs: int = 0
    macs_share: float = 100.0
    """Of the dense network's multiply-accumulates."""
    target_macs: float | None = None
    """The share that was asked for."""
    latency_ms: float | None = None
    """Measured when the units of this round were chosen; with a target in latency alone."""
    dense_latency_ms: float | None = None
    """The dense network's, measured in turns with it."""
    target_latency: float | None = None
    """The share that was asked for."""
    val_accuracy: float = 0.0
    test_accuracy: float = 0.0
    best_val_accuracy: float = -1.0
    best_test_accuracy: float = 0.0
    """Test accuracy of the epoch with the best validation accuracy."""
    test_accuracy_after_pruning: float | None = None
    """Right after units were removed: for refill before this round's rewinding, for rsst at this round's end."""
    lambda_final: float = 0.0
    """Regularisation strength in the round's last step."""
    doomed_norm_ratio: float | None = None
    """Root mean square of the marked weights over that of the others, when they were removed."""
    kept: dict[str, list[int]] = field(default_factory=dict)
    """Units of each group at the round's end, and in the dense network: [left, dense]."""

    def close(self, blueprint: Blueprint) -> None:
        """Record the sizes of the network at the round's end."""
        size, dense = measure_size(blueprint), measure_size(blueprint.dense())
        self.parameters, self.macs, self.macs_share = size.parameters, size.macs, 100 * size.macs / dense.macs
        self.structured_sparsity = 100 * (1 - size.prunable / dense.prunable)
        self.kept = {group.name: [group.num_units, group.num_dense] for group in find_groups(blueprint)}

    def note(self, accuracy: Mapping[str, float]) -> None:
        """Record an evaluation during the round."""
        self.val_accuracy, self.test_accuracy = accuracy["val_accuracy"], accuracy["test_accuracy"]
        if self.val_accuracy > self.best_val_accuracy:
            self.best_val_accuracy, self.best_test_accuracy = self.val_accuracy, self.test_accuracy

    @property
    def latency(self) -> dict[str, float]:
        """Latencies as metrics; empty where none was measured."""
        if self.latency_ms is None or self.dense_latency_ms is None:
            return {}
        share = 100 * self.latency_ms / self.dense_latency_ms
        return {"latency_ms": self.latency_ms, "dense_latency_ms": self.dense_latency_ms, "latency_share": share}

    def to_plain(self) -> dict[str, Any]:
        """Return the record as a checkpoint holds it."""
        return asdict(self)


def begin_round(
    number: int, config: PruningConfig, blueprint: Blueprint, *, num_zeroed: int, latency: Latency | None
) -> Round:
    """Return the record of a round.

    Rounds are numbered from 1. `blueprint` is that of the network that it starts with, of which `num_zeroed` weights
    are held at zero; `latency` is that of the network that it ends with, if it was measured.
    """
    dense, now = measure_size(blueprint.dense()), measure_size(blueprint)
    share = None if config.rate is not None else 100 * (config.allowed_share(number) or 1)
    return Round(
        number,
        target_weight=None if config.rate is None else 100 * (1 - config.rate) ** number,
        remain_weight=100 * (now.prunable - num_zeroed) / dense.prunable,
        target_macs=None if config.target_macs is None else share,
        latency_ms=None if latency is None else latency.network_ms,
        dense_latency_ms=None if latency is None else latency.dense_ms,
        target_latency=None if config.target_latency is None else share,
    )


def describe_rounds(rounds: Sequence[Round], accuracy: Mapping[str, float], *, is_training: bool) -> dict[str, float]:
    """Return the running round's metrics beside its accuracies.

    The last round is running; with `is_training` it records the accuracies, `val_accuracy` and `test_accuracy`.
    """
    record = rounds[-1]
    metrics: dict[str, float] = {
        "prune_times": record.number,
        "remain_weight": record.remain_weight,
        "structured_sparsity": record.structured_sparsity,
        "parameters": record.parameters,
        "macs": record.macs,
        "macs_share": record.macs_share,
        **record.latency,
    }
    if record.doomed_norm_ratio is not None:
        record.test_accuracy_after_pruning = accuracy["test_accuracy"]
        metrics["doomed_norm_ratio"] = record.doomed_norm_ratio
        metrics["test_accuracy_after_pruning"] = record.test_accuracy_after_pruning
    if is_training:
        record.note(accuracy)
        metrics["best_test_accuracy"] = record.best_test_accuracy
    if record.number:
        metrics["dense_test_accuracy"] = rounds[0].best_test_accuracy
    return metrics

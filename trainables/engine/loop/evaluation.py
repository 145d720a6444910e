"""Evaluation of the current model, on all ranks together."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from trainables.contract.evaluation import EvaluationResult, evaluating
from trainables.contract.pulse import Pulse
from trainables.contract.task import Task
from trainables.contract.training_config import Precision
from trainables.contract.workload_config import SelectionMetric
from trainables.engine.data.feed import Feed
from trainables.engine.process.collectives import ProcessGroup
from trainables.engine.step.precision import forward_in


@contextmanager
def isolated_random() -> Iterator[None]:
    """Restore torch's global random state after the block."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Put the module in eval mode without gradients; restore mode and torch's global random state after the block."""
    with evaluating(module), isolated_random(), torch.no_grad():
        yield


def run_evaluation(
    task: Task,
    module: nn.Module,
    feed: Feed,
    collectives: ProcessGroup,
    device: torch.device,
    *,
    precision: Precision,
    has_pulse: bool = False,
) -> EvaluationResult:
    """Evaluate: feed the evaluator its splits and compute. A collective.

    `has_pulse` prints from time to time how far it is; a training has its own lines.
    """
    share_buffers(module, collectives)
    evaluator = task.evaluator(collectives, device)
    with frozen(module), forward_in(precision, module, device):
        for split in evaluator.splits:
            evaluator.begin_split(split)
            pulse = Pulse(f"rows of {split} evaluated", collectives)
            for batch in feed.ordered(split):
                evaluator.update(module, batch)
                if has_pulse:
                    pulse.beat(len(next(iter(batch.values()))))
        return evaluator.compute(module)


def share_buffers(module: nn.Module, collectives: ProcessGroup) -> None:
    """Copy rank 0's buffers to every rank, because they are the saved ones: batch-norm statistics differ between ranks.

    A collective. The training does not change: its next forward pass would take over rank 0's buffers too.
    """
    if collectives.world_size == 1:
        return
    values = collectives.broadcast([buffer.detach().cpu() for buffer in module.buffers()])
    for buffer, value in zip(module.buffers(), values, strict=True):
        buffer.copy_(value)


def goal_value(evaluation: EvaluationResult, goal: SelectionMetric) -> float:
    """Return the selection metric's value. Raises ValueError listing the computed metrics when it is not among them."""
    if goal.metric not in evaluation.metrics:
        known = ", ".join(sorted(evaluation.metrics))
        raise ValueError(f"the evaluation has no metric {goal.metric!r}, which decides the best model; it has {known}")
    return evaluation.metrics[goal.metric]


def split_finite(metrics: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """Return the finite metrics, and a message for each that is not finite."""
    finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
    return finite, [f"{name} is {value} and is left out" for name, value in metrics.items() if name not in finite]

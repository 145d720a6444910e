"""One evaluation, on all ranks together."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from trainables.contract.evaluation import EvaluationResult
from trainables.contract.task import Task
from trainables.contract.training_config import Precision
from trainables.contract.workload_config import SelectionMetric
from trainables.engine.data.feed import Feed
from trainables.engine.process.collectives import ProcessGroup
from trainables.engine.step.precision import forward_in


@contextmanager
def isolated_random() -> Iterator[None]:
    """Afterwards torch's global random state is as it was."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, and torch's global random state as it was afterwards."""
    was_training = module.training
    module.eval()
    try:
        with isolated_random(), torch.no_grad():
            yield
    finally:
        module.train(was_training)


def run_evaluation(
    task: Task,
    module: nn.Module,
    feed: Feed,
    collectives: ProcessGroup,
    device: torch.device,
    *,
    precision: Precision,
) -> EvaluationResult:
    """Feed the evaluator its splits and compute; a collective."""
    share_buffers(module, collectives)
    evaluator = task.evaluator(collectives, device)
    with frozen(module), forward_in(precision, module, device):
        for split in evaluator.splits:
            evaluator.begin_split(split)
            for batch in feed.ordered(split):
                evaluator.update(module, batch)
        return evaluator.compute(module)


def share_buffers(module: nn.Module, collectives: ProcessGroup) -> None:
    """Rank 0's buffers on every rank, as they are saved: running statistics of a batch norm are each rank's own.

    A collective. The training is not changed: its next forward pass would take over rank 0's buffers too.
    """
    if collectives.world_size == 1:
        return
    values = collectives.broadcast([buffer.detach().cpu() for buffer in module.buffers()])
    for buffer, value in zip(module.buffers(), values, strict=True):
        buffer.copy_(value)


def goal_value(evaluation: EvaluationResult, goal: SelectionMetric) -> float:
    """The metric that decides. Raises ValueError listing the known ones when it was not computed."""
    if goal.metric not in evaluation.metrics:
        known = ", ".join(sorted(evaluation.metrics))
        raise ValueError(f"the evaluation has no metric {goal.metric!r}, which decides the best model; it has {known}")
    return evaluation.metrics[goal.metric]


def split_finite(metrics: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """The finite metrics, and a message for each that is not."""
    finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
    return finite, [f"{name} is {value} and is left out" for name, value in metrics.items() if name not in finite]

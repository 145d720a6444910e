"""Floating point operations of a step, counted on copies."""

import copy
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.contract.task import Task
from trainables.engine.step.precision import autocast
from trainables.engine.step.train_step import Optimization, StepPart


def count_flops(optimization: Optimization, parts: Sequence[StepPart]) -> float:
    """Count the operations of forward and backward passes: two for each multiply-accumulate of products and attention.

    The passes run on a copy of the module, so that weights, running statistics and gradients stay as they are.

    Args:
        optimization: Its module and precision count; its gradients must be empty.
        parts: The micro-batches of a step, with draws of their own; their content may change.
    """
    task = optimization.task
    module = copy.deepcopy(task.module)
    devices = [optimization.device] if optimization.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), FlopCounterMode(display=False) as counter:
        for part in parts:
            _run(task, module, part, optimization)
    optimization.optimizer.zero_grad(set_to_none=True)  # a penalty may reach the module itself
    return float(counter.get_total_flops())


def _run(task: Task, module: torch.nn.Module, part: StepPart, optimization: Optimization) -> None:
    with autocast(optimization.training.precision, optimization.device):
        task.loss(module, part.batch, draws=part.draws).loss.backward()

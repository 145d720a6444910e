"""Optimisers and learning-rate schedules, built from settings."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainables.contract.task import ParameterGroup
from trainables.contract.training_config import Optimizer, Schedule
from trainables.engine.process.collectives import is_sharded
from trainables.engine.step.sharding import scatter


def build_optimizer(
    module: nn.Module, settings: Optimizer, groups: Sequence[ParameterGroup] | None = None
) -> torch.optim.Optimizer:
    """Build the optimiser over the trainable parameters; Adam and AdamW are fused.

    SGD is not fused: when a gradient scaler skips the first step, torch's fused SGD continues from a momentum that was
    never set. The module's trainable parameters are optimised; `groups` have their own rate factors, and by default
    there is one.

    Raises:
        ValueError: `groups` do not hold every trainable parameter of the module once.
    """
    groups = [ParameterGroup("", list(module.parameters()))] if groups is None else groups
    _refuse_other_parameters(module, groups)
    parts = [part for group in groups for part in _split_by_decay(group, settings)]
    if settings.name == "sgd":
        return torch.optim.SGD(
            parts,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
        )
    build = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return build(parts, lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon, fused=True)


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the rates of the coming step by metric name: the first group's, and that of every named group."""
    groups = optimizer.param_groups
    named = {f"train/learning_rate/{group['name']}": float(group["lr"]) for group in groups if group["name"]}
    return {"train/learning_rate": float(groups[0]["lr"]), **named}


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Restore moments and step counts; rates, decay and the like stay those of the settings.

    A search may change those settings in the middle of a run.
    """
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if any(is_sharded(parameter) for parameter in parameters):
        state = {**state, "state": _take_parts(state["state"], parameters)}
    optimizer.load_state_dict(dict(state))
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)


def _take_parts(
    state: Mapping[int, Mapping[str, Tensor]], parameters: Sequence[Tensor]
) -> dict[int, dict[str, Tensor]]:
    """Cut complete moments as their parameters are; counts of steps stay as they are."""
    return {
        number: {
            name: scatter(value, parameters[number]) if value.shape == parameters[number].shape else value
            for name, value in values.items()
        }
        for number, values in state.items()
    }


def _refuse_other_parameters(module: nn.Module, groups: Sequence[ParameterGroup]) -> None:
    found = Counter(id(parameter) for group in groups for parameter in group.parameters)
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and found[id(parameter)] != 1:
            raise ValueError(f"the parameter {name} is in {found[id(parameter)]} parameter groups, expected 1")


def _split_by_decay(group: ParameterGroup, settings: Optimizer) -> list[dict]:
    trainable = [parameter for parameter in group.parameters if parameter.requires_grad]
    shared = {"name": group.name, "lr": settings.learning_rate * group.rate_factor}
    if settings.decays_norms:
        return [{"params": trainable, "weight_decay": settings.weight_decay, **shared}] if trainable else []
    decayed = [parameter for parameter in trainable if parameter.ndim > 1]
    plain = [parameter for parameter in trainable if parameter.ndim <= 1]
    parts = [
        {"params": decayed, "weight_decay": settings.weight_decay, **shared},
        {"params": plain, "weight_decay": 0.0, **shared},
    ]
    return [part for part in parts if part["params"]]


class RateSchedule:
    """Schedule that sets every group's rate to its base rate times `compute_factor`.

    It is stepped once per step, skipped ones too.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, settings: Schedule, *, num_steps: int, steps_per_epoch: int):
        self._optimizer, self._settings = optimizer, settings
        self._num_steps, self._steps_per_epoch = num_steps, steps_per_epoch
        self._base = [group["lr"] for group in optimizer.param_groups]
        self._done = 0
        self._apply()

    def step(self) -> None:
        """Count one more step and set the rates."""
        self._done += 1
        self._apply()

    def _apply(self) -> None:
        factor = compute_factor(self._done, self._settings, self._num_steps, self._steps_per_epoch)
        for group, base in zip(self._optimizer.param_groups, self._base, strict=True):
            group["lr"] = base * factor

    def state_dict(self) -> dict[str, int]:
        """Return the number of steps done."""
        return {"done": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore `state_dict`, and the rates with it."""
        self._done = state["done"]
        self._apply()


def compute_factor(step: int, settings: Schedule, num_steps: int, steps_per_epoch: int) -> float:
    """Compute the factor on the learning rate of one step.

    Linear warm-up (step + 1) / warm-up steps; afterwards cosine: final + (1 - final) (1 + cos(pi p)) / 2, linear: 1 -
    (1 - final) p, with p the share of the steps after the warm-up that are done. `step` is the number of steps done
    before it, `num_steps` that of the complete schedule; `steps_per_epoch` is for milestones and warm-ups in epochs.
    """
    num_warmup = settings.warmup_steps or settings.warmup_epochs * steps_per_epoch
    if step < num_warmup:
        return (step + 1) / num_warmup
    if settings.name == "constant":
        return 1.0
    if settings.name == "multistep":
        epoch = step // steps_per_epoch
        return settings.gamma ** sum(epoch >= milestone for milestone in settings.milestones)
    if settings.per == "epoch":
        step = step // steps_per_epoch * steps_per_epoch
    done = max(step - num_warmup, 0) / max(num_steps - num_warmup, 1)
    done = min(done, 1.0)
    if settings.name == "linear":
        return 1.0 - (1.0 - settings.final_ratio) * done
    return settings.final_ratio + (1.0 - settings.final_ratio) * (1.0 + math.cos(math.pi * done)) / 2.0

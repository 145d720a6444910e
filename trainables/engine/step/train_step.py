"""One optimiser step: module, optimiser, schedule, gradient scaler and EMA."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from data_pipelines.contract.row_draws import TorchDraws
from trainables.contract.task import Task
from trainables.contract.training_config import Training
from trainables.engine.files.checkpoints import refuse_other_architecture
from trainables.engine.process.collectives import complete
from trainables.engine.step.activation_checkpointing import ActivationCheckpointing
from trainables.engine.step.ema import EmaModel
from trainables.engine.step.optim import RateSchedule, build_optimizer, learning_rates, load_optimizer
from trainables.engine.step.precision import autocast
from trainables.engine.step.sharding import (
    assemble,
    copy_shards,
    find_blocks,
    load_weights,
    outline,
    own_shards,
    shard,
)

MAX_NAMED = 10


@dataclass(frozen=True)
class Length:
    """Length of the training."""

    num_epochs: int
    steps_per_epoch: int
    num_steps: int
    num_stages: int = 1

    @property
    def steps_per_stage(self) -> int:
        """Steps of one stage, over which the schedule runs."""
        return self.num_steps // self.num_stages


@dataclass(frozen=True)
class StepPart:
    """A micro-batch of a step."""

    batch: Any
    draws: TorchDraws
    """Randomness of the task's loss."""
    weight: float = 1.0
    """Of its mean in the rank's loss."""


class Optimization:
    """Everything that a step changes.

    `wrap` makes the module distributed, each rank with a copy; with `is_sharded` each rank has a part of it instead,
    see `sharding`.
    """

    def __init__(
        self,
        task: Task,
        training: Training,
        *,
        length: Length,
        device: torch.device,
        wrap: Callable[[nn.Module], nn.Module],
        is_sharded: bool = False,
    ):
        self.task, self.training, self.length, self.device, self._wrap = task, training, length, device, wrap
        self._is_sharded = is_sharded
        self.num_skipped = 0
        self._build()

    def _build(self) -> None:
        module = self.task.module.to(self.device)
        if self.training.channels_last:
            _put_channels_last(module)
        self._recompute = self._choose_recomputed(module)
        self._outline = outline(module) if self._is_sharded else None
        if self._is_sharded:
            blocks = find_blocks(module, self.task.block_types)
            wrapped = shard(module, blocks, self.device, self.training.precision)
        else:
            wrapped = self._wrap(module)
        self.wrapped: Any = wrapped
        self.ema = None
        if self.training.ema:
            averaged = module if self._outline is None else copy_shards(self._outline, module)
            self.ema = EmaModel(averaged, self.training.ema)
        if self.training.compile:
            torch.compiler.reset()  # earlier compilations count towards a limit, after which torch runs eagerly
            self.wrapped = torch.compile(wrapped)
        self.optimizer = build_optimizer(module, self.training.optimizer, self.task.parameter_groups())
        self.schedule = RateSchedule(
            self.optimizer,
            self.training.schedule,
            num_steps=self.length.steps_per_stage,
            steps_per_epoch=self.length.steps_per_epoch,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.training.precision == "fp16")
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._has_checked_gradients = False

    def _choose_recomputed(self, module: nn.Module) -> ActivationCheckpointing:
        if not self.training.activation_checkpointing:
            return ActivationCheckpointing([])
        blocks = find_blocks(module, self.task.block_types)
        if not blocks:
            raise ValueError(
                "`training.activation_checkpointing` computes the activations inside of blocks again, and "
                f"{type(module).__name__} has none: {type(self.task).__name__}.block_types names their classes"
            )
        return ActivationCheckpointing(blocks)

    def rebuild(self, *, is_new_stage: bool = False) -> None:
        """Wrap the module again and start optimiser and EMA afresh; the schedule continues, except at a new stage."""
        schedule = self.schedule.state_dict()
        self._build()
        if not is_new_stage:
            self.schedule.load_state_dict(schedule)

    @contextmanager
    def complete_module(self) -> Iterator[None]:
        """Give the task its complete module inside the block, which may change it, or replace it and call `rebuild`.

        A collective if the training is sharded.
        """
        sharded, optimizer = self.task.module, self.optimizer
        if self._outline is None:
            yield
            return
        self.task.module = assemble(self._outline, sharded)
        yield
        if self.optimizer is optimizer:
            load_weights(sharded, self.task.module.state_dict())
            self.task.module = sharded

    @property
    def evaluated(self) -> nn.Module:
        """The module to save: the EMA weights if there are any; this rank's part of them if the training is sharded."""
        return self.ema.module if self.ema else self.task.module

    def complete_evaluated(self) -> nn.Module:
        """Return the complete module to evaluate and draw with, on every rank. A collective if training is sharded."""
        return self.evaluated if self._outline is None else assemble(self._outline, self.evaluated)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the first parameter group, for the coming step."""
        return self.learning_rates["train/learning_rate"]

    @property
    def learning_rates(self) -> dict[str, float]:
        """Learning rates of the coming step, by metric name."""
        return learning_rates(self.optimizer)

    def step(
        self, parts: Sequence[StepPart], on_gradients: Callable[[nn.Module], None] | None = None
    ) -> dict[str, Tensor]:
        """Take one optimiser step over the micro-batches; returns device scalars by metric name, without synchronising.

        `on_gradients` is called with the module when its gradients are ready, and must change nothing.
        """
        buffers = self._keep_buffers()
        outputs = [self._backward(part, is_last=part is parts[-1]) for part in parts]
        self._check_gradients()
        self.scaler.unscale_(self.optimizer)
        grad_norm = self._clip()
        if on_gradients:
            on_gradients(self.task.module)
        if self.training.on_nonfinite == "stop" or self.scaler.is_enabled() or self._is_finite(grad_norm):
            self.scaler.step(self.optimizer)
            if self.ema:
                self.ema.update_parameters(self.task.module)
        else:
            for buffer, before in buffers:
                buffer.copy_(before)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        means = {
            name: torch.stack([part.weight * output[name] for part, output in zip(parts, outputs, strict=True)]).sum()
            for name in outputs[0]
        }
        return {**means, "train/grad_norm": grad_norm}

    def _backward(self, part: StepPart, *, is_last: bool) -> dict[str, Tensor]:
        # parts of gradients are added up in each micro-batch, so that no rank keeps complete ones: no `no_sync` there
        no_sync = getattr(self.wrapped, "no_sync", nullcontext)
        with (
            nullcontext() if is_last else no_sync(),
            self._recompute.active(),
            autocast(self.training.precision, self.device),
        ):
            output = self.task.loss(self.wrapped, part.batch, draws=part.draws)
            self.scaler.scale(output.loss * part.weight).backward()
        metrics = {f"train/{name}": value.detach().float() for name, value in output.metrics.items()}
        return {"train/loss": output.loss.detach().float(), **metrics}

    def _check_gradients(self) -> None:
        """Raise ValueError naming the parameters that the first backward pass did not reach.

        With several workers the reduction would wait for their gradients forever; with one they would never be trained.
        """
        if self._has_checked_gradients:
            return
        named = self.task.module.named_parameters()
        missing = [name for name, parameter in named if parameter.requires_grad and parameter.grad is None]
        if missing:
            shown = ", ".join([*missing[:MAX_NAMED], *(["..."] if len(missing) > MAX_NAMED else [])])
            raise ValueError(
                f"the loss does not depend on {len(missing)} trainable parameter(s): {shown}; use them in every step, "
                "or freeze them with requires_grad_(False)"
            )
        self._has_checked_gradients = True

    def _clip(self) -> Tensor:
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = complete(get_total_norm(gradients).detach())
        if self.training.clip_norm is not None:
            clip_grads_with_norm_(self._parameters, self.training.clip_norm, norm)
        return norm

    def _keep_buffers(self) -> list[tuple[Tensor, Tensor]]:
        """Copy running statistics before a step that may be skipped, because its forward pass changes them."""
        if self.training.on_nonfinite == "stop":
            return []
        return [(buffer, buffer.clone()) for buffer in self.task.module.buffers()]

    def _is_finite(self, norm: Tensor) -> bool:
        # the norm is of the averaged gradient, so all ranks decide alike
        is_finite = bool(torch.isfinite(norm))
        self.num_skipped += not is_finite
        return is_finite

    def weights(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return the state dicts of the module and of its EMA, if any, with this rank's shards of sharded tensors."""
        averaged = own_shards(self.ema.module.state_dict()) if self.ema else None
        return own_shards(self.task.module.state_dict()), averaged

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the weights, with this rank's shards of sharded tensors."""
        return {
            "optimizer": own_shards(self.optimizer.state_dict()),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "num_skipped": self.num_skipped,
            "num_averaged": self.ema.num_updates if self.ema else 0,
        }

    def load(
        self, model: Mapping[str, Tensor], ema: Mapping[str, Tensor] | None, state: Mapping[str, Any], origin: str
    ) -> None:
        """Restore the state dicts of the module and of the EMA weights, if any, and `state_dict` of this object.

        Raises ValueError naming `origin` when the architecture differs.
        """
        refuse_other_architecture(self.task.module.state_dict(), model, origin)
        load_weights(self.task.module, model)
        if self.ema and ema is not None:
            load_weights(self.ema.module, ema)
            self.ema.num_updates = state["num_averaged"]
        load_optimizer(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.num_skipped = state["num_skipped"]


def _put_channels_last(module: nn.Module) -> None:
    """Convert 4-D weights to channels_last; `Module.to(memory_format=...)` raises on 5-D (Conv3d) weights."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

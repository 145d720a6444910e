"""The contract between the engine and a workload: the task, its loss and its hooks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Batch, Split
from trainables.contract.evaluation import Evaluator
from trainables.contract.panels import Panel
from trainables.contract.train_context import Collectives, Progress, StartContext


@dataclass(frozen=True)
class LossOutput:
    """What one forward pass gives back."""

    loss: Tensor
    """Scalar, the mean over the samples of this rank's batch."""
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    """Further scalars, means over the batch, recorded as `train/<name>` for every step and, as the mean over the
    steps, as `train/epoch_<name>` for every epoch; the same names each step."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share one learning rate."""

    name: str
    """Its rate is recorded as `train/learning_rate/<name>`; the empty name, of a task without groups, is not."""
    parameters: Sequence[nn.Parameter]
    """Frozen ones get no state in the optimiser."""
    rate_factor: float = 1.0
    """On `training.optimizer.learning_rate`; above 0."""


class Task(ABC, Generic[Batch]):
    """What is learnt. A workload implements `loss` and `evaluator`; the other hooks do nothing by default.

    The engine seeds the construction: weights drawn in `__init__` follow from the run's seed alone.
    """

    module: nn.Module
    """Every trainable parameter needs a gradient in every step; freeze the others by `requires_grad_(False)`."""
    weights_stream: ClassVar[str] = "network"
    """Name of the random stream that initial weights are drawn from; another name gives other weights."""
    visualised_split: ClassVar[Split | None] = None
    """The split whose first rows `visualise` gets."""
    num_visualised: ClassVar[int] = 8
    """How many of them."""

    @abstractmethod
    def loss(self, module: nn.Module, batch: Batch, *, generator: torch.Generator) -> LossOutput:
        """The training loss of `module`, which is `self.module` made distributed; randomness from `generator`."""

    @abstractmethod
    def evaluator(self, collectives: Collectives, device: torch.device) -> Evaluator[Batch]:
        """A new evaluator; its `module` argument will be the EMA weights when there are any."""

    def example_inputs(self) -> tuple[Tensor, ...] | None:
        """Return what `module` takes for one sample, to count multiply-accumulates; None: what `loss` gives to it."""
        return None

    def visualise(
        self, module: nn.Module, batch: Batch | None, progress: Progress, device: torch.device
    ) -> Sequence[Panel]:
        """Return pictures at the picture cadence, on rank 0 alone: no collectives. Without gradients, in eval mode.

        Args:
            module: The EMA weights when there are any.
            batch: The first `num_visualised` rows of `visualised_split`, the same at every call, for any number of
                workers and after a resume; None when the task names no split.
            progress: Where the training stands.
            device: That of module and batch.
        """
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Every trainable parameter of `module` in exactly one group; the first gives `train/learning_rate`."""
        return [ParameterGroup("", list(self.module.parameters()))]

    def on_start(self, collectives: Collectives) -> None:
        """On every start of a training, also a resumed one, before anything else: for losses over all ranks."""

    def on_train_start(self, start: StartContext) -> None:
        """Once before the first step of a new run, on all ranks, never on a resume: statistics, baselines, weights
        to start from. EMA and optimiser are built from what it leaves."""

    def prepare_evaluation(self, start: StartContext) -> None:
        """After `begin`, and before the evaluation of a saved model; on all ranks. What evaluators have to know of the
        data beside the rows that they are passed; `state_dict` keeps it."""

    def on_step_end(self, progress: Progress) -> None:
        """After each optimiser step."""

    def on_epoch_end(self, progress: Progress) -> bool:
        """After each epoch, before its evaluation. True: parameters were replaced; the engine wraps again and
        rebuilds optimiser and EMA."""
        return False

    def on_stage_start(self, stage: int, start: StartContext) -> Mapping[str, float]:
        """Before each stage but the first, on all ranks, after the stage before was evaluated and saved.

        May replace parameters: optimiser, schedule and EMA start anew. What it returns, the same on every rank, is
        added to the last row of the stage before.
        """
        return {}

    def export(self, folder: Path, form: str) -> dict[str, Any]:
        """Write `module` to `folder` so that it can be used without training code; returns plain data_spec about it.

        Raises ValueError when the workload has no such `form`, or none at all.
        """
        raise ValueError("this workload has nothing to export; its models are used as they are saved")

    def state_dict(self) -> dict[str, Any]:
        """What `begin` and the hooks made: tensors and plain data; saved in every checkpoint and model."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; called before weights are loaded, so it may change the module's shapes."""

"""The contract between the engine and a workload: what is learnt, how it is evaluated, what is drawn."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Split

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class LossOutput:
    """What one forward pass gives back."""

    loss: Tensor
    """Scalar, the mean over the samples of this rank's batch."""
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    """Further scalars, means over the batch, recorded as `train/<name>` for every step and, as the mean over the
    steps, as `train/epoch_<name>` for every epoch; the same names each step."""


class Collectives(Protocol):
    """The few collective operations a workload may use; each is called by all ranks or by none."""

    rank: int
    world_size: int

    def sum(self, tensor: Tensor) -> Tensor:
        """Elementwise sum over ranks, a new tensor on every rank."""
        ...

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenation over ranks along the first dimension, which may differ between ranks."""
        ...

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        """`gather` of equal shapes through which gradients flow back, summed over the ranks that used them."""
        ...

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value (plain data and CPU tensors) on every rank."""
        ...


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share one learning rate."""

    name: str
    """Its rate is recorded as `train/learning_rate/<name>`; the empty name, of a task without groups, is not."""
    parameters: Sequence[nn.Parameter]
    """Frozen ones get no state in the optimiser."""
    rate_factor: float = 1.0
    """On `training.optimizer.learning_rate`; above 0."""


@dataclass(frozen=True)
class Progress:
    """Where the training stands, after a step."""

    epoch: int
    """The running epoch, counted from 1."""
    step: int
    """Optimiser steps done since the start of the run."""
    num_epochs: int
    steps_per_epoch: int
    num_stages: int = 1

    @property
    def epochs_per_stage(self) -> int:
        """Equal for all stages."""
        return self.num_epochs // self.num_stages

    @property
    def stage(self) -> int:
        """The running stage, counted from 0."""
        return (self.epoch - 1) // self.epochs_per_stage

    @property
    def ends_stage(self) -> bool:
        """Whether the running epoch is the last of its stage."""
        return self.epoch % self.epochs_per_stage == 0

    @property
    def steps_per_stage(self) -> int:
        """Optimiser steps of one stage."""
        return self.epochs_per_stage * self.steps_per_epoch


class CachedStatistic(Protocol):
    """What was learnt of the prepared data, by this run or by one before it on the same data."""

    def __call__(self, name: str, settings: Mapping[str, Any], learn: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `learn` returns, plain data and CPU tensors, the same on every rank; a collective, as `learn` may be.

        `settings`, as JSON, hold all that it follows from beside the rows of the prepared data.
        """
        ...


def no_cache(name: str, settings: Mapping[str, Any], learn: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A `CachedStatistic` that remembers nothing."""
    return learn()


@dataclass(frozen=True)
class StartContext:
    """What a task may use before the first step of the run or of a later stage, and before evaluations."""

    batches: Callable[[Split], Iterable[Any]]
    """One ordered pass over this rank's share of a split, as batches on `device`, not augmented."""
    collectives: Collectives
    device: torch.device
    seed: int
    recall: CachedStatistic = no_cache


@dataclass(frozen=True)
class ImagePanel:
    """A set of pictures shown as one grid."""

    key: str
    """Metric-style name, for example `eval/generated_samples`."""
    images: Tensor
    """uint8, [count, channels, height, width], channels 1 or 3."""
    captions: Sequence[str] = ()
    """One per picture, or none."""
    columns: int = 10
    """Pictures per row of the grid."""
    zoom: int = 1
    """Integer factor, nearest neighbour, for pictures too small to see."""


@dataclass(frozen=True)
class TablePanel:
    """A table whose cells are numbers, strings, or pictures (uint8 tensors, [channels, height, width]).

    Rows drawn at later steps are added to those drawn before.
    """

    key: str
    columns: Sequence[str]
    rows: Sequence[Sequence[float | int | str | Tensor]]


@dataclass(frozen=True)
class VideoPanel:
    """A set of clips of equal length, played side by side."""

    key: str
    clips: Tensor
    """uint8, [count, time, channels, height, width], channels 1 or 3."""
    frames_per_s: float = 4.0
    captions: Sequence[str] = ()
    """One per clip, or none."""
    columns: int = 10
    """Clips per row of the grid."""
    zoom: int = 1
    """Integer factor, nearest neighbour."""
    form: Literal["gif", "mp4"] = "gif"
    """mp4 needs PyAV."""


Panel = ImagePanel | TablePanel | VideoPanel


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation, the same on every rank."""

    metrics: Mapping[str, float]
    """By full name, for example `eval/fid_local`; a trivial baseline stands beside its metric as `baseline/<name>`."""
    panels: Sequence[Panel] = ()
    files: Sequence[str] = ()
    """Files that the evaluator has written by itself on this rank, into a folder that the user named."""


class Evaluator(ABC, Generic[Batch]):
    """Collects what one evaluation needs. Made anew for every evaluation; runs without gradients, in eval mode.

    The module that it gets computes in `training.precision`, whoever evaluates, and answers in float32; the evaluator's
    own computations are not autocast.
    """

    split: Split | None = None
    """The split whose rows are passed to `update`, each row once over all ranks; None when no rows are needed."""

    @property
    def splits(self) -> Sequence[Split]:
        """The splits, when there are several; each is announced by `begin_split`."""
        return () if self.split is None else (self.split,)

    def begin_split(self, split: Split) -> None:
        """The batches that follow are of this split."""

    def update(self, module: nn.Module, batch: Batch) -> None:
        """Add one batch; contains no collective, as ranks may see different numbers of batches."""

    @abstractmethod
    def compute(self, module: nn.Module) -> Evaluation:
        """Reduce over ranks; contains collectives, so all ranks call it."""


class Task(ABC, Generic[Batch]):
    """What is learnt. A workload implements `loss` and `evaluator`; the other hooks do nothing by default."""

    module: nn.Module

    @abstractmethod
    def loss(self, module: nn.Module, batch: Batch, *, generator: torch.Generator) -> LossOutput:
        """The training loss of `module`, which is `self.module` made distributed; randomness from `generator`."""

    @abstractmethod
    def evaluator(self, collectives: Collectives, device: torch.device) -> Evaluator[Batch]:
        """A new evaluator; its `module` argument will be the EMA weights when there are any."""

    @abstractmethod
    def example_inputs(self) -> tuple[Tensor, ...]:
        """What `module` takes for one sample; used to count multiply-accumulates."""

    def visualise(self, module: nn.Module, progress: Progress, device: torch.device) -> Sequence[Panel]:
        """Pictures at the picture cadence, on rank 0 alone: no collectives. Without gradients, in eval mode."""
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

"""The contract between the engine and a workload: the task, its loss and its hooks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Batch, Split
from data_pipelines.contract.row_draws import TorchDraws
from trainables.contract.evaluation import Evaluator
from trainables.contract.export import BATCH, ExportSpec, Graph, GraphInput, GraphOutput
from trainables.contract.panels import Panel
from trainables.contract.train_context import Collectives, Progress, StartContext


@dataclass(frozen=True)
class LossOutput:
    """Result of one forward pass."""

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
    """What a workload trains: it implements `loss` and `evaluator`; the other hooks do nothing by default.

    The engine seeds the construction: weights drawn in `__init__` follow from the run's seed alone.
    """

    module: nn.Module
    """Every trainable parameter needs a gradient in every step; freeze the others by `requires_grad_(False)`.

    With `scaling.parallel: fsdp` it holds this rank's part of each parameter while steps are taken; `on_epoch_end` and
    `on_stage_start` find it complete, and evaluators and pictures get a complete module as their argument."""
    weights_stream: ClassVar[str] = "network"
    """Name of the random stream that initial weights are drawn from; another name gives other weights."""
    visualised_split: ClassVar[Split | None] = None
    """The split whose first rows `visualise` gets."""
    num_visualised: ClassVar[int] = 8
    """Number of those rows."""

    block_types: ClassVar[tuple[type[nn.Module], ...]] = ()
    """Classes of the repeated parts of `module`, whose parameters only their own forward pass uses. With
    `scaling.parallel: fsdp` one such part is gathered at a time, and `training.activation_checkpointing` computes the
    inside of each again. Without any the module is one part, and has no activations to compute again."""

    @abstractmethod
    def loss(self, module: nn.Module, batch: Batch, *, draws: TorchDraws) -> LossOutput:
        """Compute the training loss of `module`, which is `self.module` made distributed.

        It is a mean over the rows. All randomness comes from `draws`, which gives a row the same numbers on any worker.
        """

    @abstractmethod
    def evaluator(self, collectives: Collectives, device: torch.device) -> Evaluator[Batch]:
        """Build a new evaluator; its `module` argument will be the EMA weights when there are any."""

    def example_inputs(self) -> tuple[Tensor, ...] | None:
        """Return the inputs of `module` for one sample, to count multiply-accumulates; None: those of `loss`."""
        return None

    def visualise(
        self, module: nn.Module, batch: Batch | None, progress: Progress, device: torch.device
    ) -> Sequence[Panel]:
        """Return pictures at the picture cadence, on rank 0 alone: no collectives. Without gradients, in eval mode.

        Args:
            module: The EMA weights when there are any.
            batch: The first `num_visualised` rows of `visualised_split`, the same at every call, for any number of
                workers and after a resume; None when the task names no split.
            progress: Position of the training.
            device: Device of module and batch.
        """
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Return every trainable parameter of `module` in exactly one group; the first gives `train/learning_rate`."""
        return [ParameterGroup("", list(self.module.parameters()))]

    def on_start(self, collectives: Collectives) -> None:
        """Prepare losses over all ranks; called first on every start of a training, also a resumed one."""

    def on_train_start(self, start: StartContext) -> None:
        """Prepare a new run: statistics, baselines, initial weights. EMA and optimiser are built from the result.

        Called once before the first step, on all ranks, never on a resume.
        """

    def prepare_evaluation(self, start: StartContext) -> None:
        """Compute what the evaluator needs to know of the data, beside the batches that it gets.

        Called on all ranks, after `on_train_start` of a run that evaluates and before the evaluation of a saved model,
        never on a resume; keep the result in `state_dict`.
        """

    def on_step_end(self, progress: Progress) -> None:
        """Update the task after each optimiser step."""

    def on_epoch_end(self, progress: Progress) -> bool:
        """Update the task after each epoch, before its evaluation.

        Returns True if parameters were replaced; the engine then wraps the module again and rebuilds optimiser and EMA.
        """
        return False

    def on_stage_start(self, stage: int, start: StartContext) -> Mapping[str, float]:
        """Prepare a stage; called before each but the first, on all ranks, after the last one was evaluated and saved.

        May replace parameters: optimiser, schedule and EMA start afresh. Returns metrics, equal on every rank, which
        are added to the last row of the stage before.
        """
        return {}

    def export_spec(self) -> ExportSpec:
        """Describe `module`, in eval mode, for an export that needs no training code.

        By default its graph takes `example_inputs`, with any number of samples; without them its weights alone can be
        written. Raises ValueError for a network that cannot be exported.
        """
        examples = self.example_inputs()
        summary = "A network trained by quintet."
        if examples is None:
            return ExportSpec(summary, self.module)
        with torch.no_grad():
            shape = self.module(*examples).shape
        inputs = [
            GraphInput(f"input_{number}", (BATCH, *example.shape[1:]), "an input", dtype=example.dtype)
            for number, example in enumerate(examples, start=1)
        ]
        output = GraphOutput("output", (BATCH.name, *shape[1:]), "the output")
        return ExportSpec(summary, self.module, [Graph(self.module, inputs, output)])

    def learnt(self) -> Mapping[str, Any]:
        """Return what training has found beside the weights, such as a decision rule, as plain data for JSON.

        It stands in the metadata of checkpoints and models, where predictions read it without the weights
        (`SavedModel.learnt`).
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what `on_train_start` and the other hooks computed: tensors and plain data.

        It is saved in every checkpoint and model version.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; called before weights are loaded, so it may change the module's shapes."""

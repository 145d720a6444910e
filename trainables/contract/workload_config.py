"""Base class of every workload's settings, and the metric that selects its models."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from data_pipelines.contract.config import Config
from data_pipelines.contract.did_you_mean import suggest
from trainables.contract.training_config import Training

BASELINE = "baseline/"
"""Prefix of a metric's name: the same metric of a trivial predictor."""
INTERVAL = ("_low", "_high")
"""Endings of metrics' names: the ends of the 95 % confidence interval of the metric before them."""

Mode = Literal["min", "max"]


class SelectionMetric(Config):
    """The metric that decides which model is best."""

    metric: str
    """Name of a metric of the evaluation."""
    mode: Mode
    """Its better end."""

    def is_better(self, value: float, than: float | None, margin: float = 0.0) -> bool:
        """Return whether `value` is better than `than` by more than `margin`; a value that is not finite never is."""
        if value != value or value in (float("inf"), float("-inf")):
            return False
        if than is None:
            return True
        return value < than - margin if self.mode == "min" else value > than + margin


class WorkloadConfig(Config, ABC):
    """Settings of one workload; its module imports no torch, so that an experiment is checked in milliseconds."""

    name: str
    """The workload's name in the register, or `package.module:NAME` of one outside of it."""
    selection: SelectionMetric | None = None
    """The metric that decides which model is best; with several stages, which is best of its stage. By default the
    workload's own, which `quintet show EXPERIMENT` names."""
    evaluation_options: ClassVar[dict[str, str]] = {}
    """Options of the `evaluate` command, each with its dotted setting; one for a list of text or paths may be given
    several times."""
    metric_x_axes: ClassVar[dict[str, str | None]] = {"train/epoch_*": "epoch", "train/*": "step", "*": "epoch"}
    """The x-axis of metrics in a tracker by the longest matching pattern; None for metrics that a tracker does not
    get."""

    metric_names: ClassVar[dict[str, str]] = {}
    """Names that this workload's users expect for the engine's `train/loss`, `train/epoch_loss` and so on."""

    @property
    def label(self) -> str:
        """The name in folders, run names and tags: `name`, or the lower-case NAME of `package.module:NAME`."""
        return self.name.rpartition(":")[2].lower() if ":" in self.name else self.name

    @property
    def run_name_parts(self) -> tuple[str, ...]:
        """Parts of an automatic run name that distinguish two runs; the time of the start follows."""
        return (self.label,)

    @property
    @abstractmethod
    def selectable(self) -> Mapping[str, Mode]:
        """Metrics of an evaluation that may decide which model is best, each with its better end; the default first."""

    @property
    def selection_metric(self) -> SelectionMetric:
        """The metric that decides: that of the settings, else the workload's own."""
        metric, mode = next(iter(self.selectable.items()))
        return self.selection or SelectionMetric(metric=metric, mode=mode)

    @model_validator(mode="after")
    def _selection_is_possible(self) -> Self:
        if self.selection is None:
            return self
        metric, known = self.selection.metric, self.selectable
        if metric not in known:
            raise ValueError(f"`selection.metric` is {metric!r}; {suggest(metric, known)}")
        if self.selection.mode != known[metric]:
            raise ValueError(
                f"`selection.mode` is {self.selection.mode}, but {metric} is better at its {known[metric]}"
            )
        return self

    @property
    def num_stages(self) -> int:
        """Number of stages of the training, of `training.epochs` epochs each."""
        return 1

    def folds(self, by: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the changes of settings, by dotted key, that make each fold of a cross-validation, by its name.

        `by` is a number of folds, or the name of what is left out once each, such as `database`.

        Raises:
            ValueError: This workload has no folds, or none of this kind.
        """
        raise ValueError(f"the workload {self.name} has no folds")

    def check_inputs(self) -> None:
        """Raise ValueError when a file that the settings name cannot be used; called before a run begins.

        A workload whose files are found bad only by reading them overrides this, and imports what it needs inside.
        """

    def check_training(self, training: Training) -> None:
        """Raise ValueError naming the keys when this workload cannot be trained with these settings."""
        if self.num_stages > 1 and training.epochs is None:
            raise ValueError(
                f"the training has {self.num_stages} stages; give `training.epochs`, the epochs of one stage, instead "
                "of `training.max_steps`"
            )
        if self.num_stages > 1 and training.early_stopping is not None:
            raise ValueError(f"`training.early_stopping` would end a training of {self.num_stages} stages in the first")

    def check_sharding(self) -> None:
        """Raise ValueError naming the keys when a worker cannot train this with a part of each parameter (fsdp)."""

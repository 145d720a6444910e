"""The contract of prediction: a trained model applied to inputs that no data pipeline has seen."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch

from data_pipelines.contract.config import Config
from data_pipelines.contract.pipeline import DataSpec
from data_pipelines.storage.folder import Folder
from trainables.contract.input_files import find_input_files
from trainables.contract.prediction import Input, Prediction, Row
from trainables.contract.task import Task
from trainables.contract.workload_config import WorkloadConfig


class PredictionOptions(Config):
    """Settings of a prediction; each field is an option of the command line, `tile_size` as `--tile-size`."""


@dataclass(frozen=True)
class SavedModel:
    """A model version or checkpoint, apart from its weights."""

    source: str
    """Its folder."""
    workload: WorkloadConfig
    data_spec: DataSpec
    """What the training's data were: class names, sizes, preprocessing."""
    seed: int
    epoch: int
    step: int
    metrics: Mapping[str, float]
    """Values of the training's last evaluation before it was saved."""
    learnt: Mapping[str, Any]
    """`Task.learnt` at that time."""
    digest: str
    """SHA-256 over its files, in hexadecimal."""


Options = TypeVar("Options", bound=PredictionOptions)


class Predictor(ABC, Generic[Options]):
    """A trained model that is applied to one input at a time.

    Each is predicted on its own: the order of the inputs and the number of processes change nothing.
    """

    options_class: ClassVar[type[PredictionOptions]] = PredictionOptions
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings of input files, in small letters; empty for a workload that takes none."""
    needs_input: ClassVar[bool] = True
    """Whether there is nothing to predict without a file."""
    page_options: ClassVar[Mapping[str, Any]] = {}
    """Options whose default is another one on the page of `quintet app`, where results are looked at."""

    def __init__(self, task: Task[Any], model: SavedModel, options: Options, device: torch.device) -> None:
        """Keep a task with the model's weights, in eval mode on the device."""
        self.task, self.model, self.options, self.device = task, model, options, device

    @classmethod
    def find_inputs(cls, model: SavedModel, source: Folder | None, options: Any) -> list[Input]:
        """Return the inputs below a folder, or the one that `source` is, in a fixed order.

        The model's weights are not needed; `source` is None when the user named nothing.

        Raises:
            ValueError: There is none; the message says what is expected.
        """
        return find_input_files(source, cls.suffixes)

    @abstractmethod
    def predict_input(self, item: Input) -> Prediction:
        """Predict one input. Raises BadFileError for a file that cannot be used; its message says why."""

    def predict(self, values: Sequence[Any], /) -> Sequence[Any]:
        """Predict values that Python holds, such as arrays, tensors and paths; the workload says what it returns.

        Raises ValueError for a value of another kind, and for a workload that draws samples from nothing.
        """
        raise ValueError(f"{self.model.workload.name} has nothing to predict from values; see its other methods")

    @classmethod
    def summarise(
        cls, model: SavedModel, rows: Sequence[Row], options: Any, results: Folder
    ) -> Mapping[str, Sequence[Row] | bytes]:
        """Return further results over all inputs: tables, written as CSV, and files, by name.

        `rows` are those of all inputs, in the inputs' order, and `results` is the folder where the files of all inputs
        lie.
        """
        return {}

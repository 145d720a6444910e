"""What is learnt, and how it is evaluated."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import DataSpec, Split
from data_pipelines.contract.row_draws import TorchDraws
from trainables.contract.evaluation import MeanMetrics
from trainables.contract.task import LossOutput, Task
from trainables.contract.train_context import Collectives, StartContext

from .config import DiabetesConfig


class DiabetesTask(Task):
    """Regression by the squared error."""

    evaluated_splits: tuple[Split, ...] = ("val", "test")

    def __init__(self, config: DiabetesConfig, data_spec: DataSpec, seed: int):
        self.config = config
        (num_features,) = data_spec["x"]["shape"]
        self.module = nn.Sequential(
            nn.Linear(num_features, config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, 1),
        )
        self.mean = torch.zeros(())
        """Of the training targets: the trivial prediction."""

    def on_train_start(self, start: StartContext) -> None:
        """Measure the mean of the training targets, over all workers."""
        total, count = torch.zeros(()), torch.zeros(())
        for batch in start.batches("train"):
            total, count = total + batch["y"].sum().cpu(), count + len(batch["y"])
        self.mean = start.collectives.sum(total) / start.collectives.sum(count)

    def loss(self, module: nn.Module, batch: Mapping[str, Tensor], *, draws: TorchDraws) -> LossOutput:
        """The mean squared error."""
        error = module(batch["x"]).squeeze(1) - batch["y"]
        return LossOutput(error.square().mean(), {"abs_error": error.abs().mean()})

    def evaluator(self, collectives: Collectives, device: torch.device) -> MeanMetrics:
        """The mean squared error of each split, beside that of the trivial prediction."""
        return MeanMetrics(self._measure, splits=self.evaluated_splits, collectives=collectives, device=device)

    def _measure(self, module: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        error = module(batch["x"]).squeeze(1) - batch["y"]
        return {"mse": error.square(), "baseline/mse": (batch["y"] - self.mean.to(error.device)).square()}

    def state_dict(self) -> dict[str, Any]:
        """The mean: evaluations of a saved model need it."""
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the mean."""
        self.mean = state["mean"]

"""What the toy workload learns."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.toy_workload.config import ToyConfig
from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.panels import ImagePanel, TablePanel
from trainables.contract.task import LossOutput, Task
from trainables.contract.train_context import Collectives, Progress, StartContext


class ToyTask(Task):
    """A network of one hidden layer."""

    def __init__(self, config: ToyConfig, data_spec, seed: int):
        self.config = config
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            noise = [nn.BatchNorm1d(config.width), nn.Dropout(0.2)] if config.has_noise else []
            self.module = nn.Sequential(
                nn.Linear(data_spec["features"], config.width), *noise, nn.Linear(config.width, 1)
            )
        self.mean = torch.zeros(())

    def loss(self, module: nn.Module, batch, *, generator: torch.Generator) -> LossOutput:
        error = module(batch["x"]).squeeze(1) - batch["y"]
        return LossOutput(error.square().mean(), {"abs_error": error.abs().mean()})

    def evaluator(self, collectives: Collectives, device: torch.device) -> Evaluator:
        return ToyEvaluator(collectives, float(self.mean), device)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, self.module[0].in_features),)  # pyright: ignore

    def visualise(self, module: nn.Module, batch: Any, progress: Progress, device: torch.device):
        images = (torch.linspace(0, 255, 2 * 3 * 4 * 4) + progress.step).to(torch.uint8).reshape(2, 3, 4, 4)
        table = TablePanel("eval/table", ["Epoch", "Image"], [[progress.epoch, images[0]]])
        return [ImagePanel("eval/pictures", images, captions=["a", "b"], zoom=2), table]

    def on_train_start(self, start: StartContext) -> None:
        total, count = torch.zeros(()), torch.zeros(())
        for batch in start.batches("train"):
            total, count = total + batch["y"].nansum(), count + len(batch["y"])
        self.mean = start.collectives.sum(total) / start.collectives.sum(count)

    def on_step_end(self, progress: Progress) -> None:
        file = Path(self.config.kill_file or "/nowhere")
        try:
            step, *signals = file.read_text().split()
            if step != str(progress.step):
                return
            file.unlink()
        except FileNotFoundError:  # no one is to be killed, or the other rank was first
            return
        for name in signals or ["SIGKILL"]:
            if name == "ERROR":
                raise ValueError("one worker fails alone")
            os.kill(os.getpid(), signal.Signals[name])

    def on_epoch_end(self, progress: Progress) -> bool:
        if progress.epoch != self.config.swaps_layer_after_epoch:
            return False
        self._narrow()
        return True

    def on_stage_start(self, stage: int, start: StartContext) -> dict[str, float]:
        assert start.collectives.world_size and len(next(iter(start.batches("test")))["x"])
        self._narrow()
        return {"test/width": self.module[0].out_features, "test/stage": stage}  # pyright: ignore

    def _narrow(self) -> None:
        first, norm, dropout, last = self.module.children()
        width = first.out_features // 2  # pyright: ignore
        narrow = [nn.Linear(first.in_features, width), nn.BatchNorm1d(width), dropout, nn.Linear(width, 1)]  # pyright: ignore
        narrow[0].load_state_dict({k: v[:width] for k, v in first.state_dict().items()})
        narrow[1].load_state_dict({k: v[:width] if v.ndim else v for k, v in norm.state_dict().items()})
        narrow[3].load_state_dict({"weight": last.weight[:, :width], "bias": last.bias})  # pyright: ignore
        self.module = nn.Sequential(*narrow)

    def state_dict(self):
        return {"mean": self.mean, "width": self.module[0].out_features}  # pyright: ignore

    def load_state_dict(self, state) -> None:
        self.mean = state["mean"]
        shrinks = self.config.swaps_layer_after_epoch or self.config.rounds > 1
        while shrinks and state["width"] < self.module[0].out_features:  # pyright: ignore
            self._narrow()


class ToyEvaluator(Evaluator):
    """Mean squared error over the test rows, beside that of the mean target."""

    split = "test"

    def __init__(self, collectives: Collectives, mean: float, device: torch.device):
        self._collectives, self._mean = collectives, mean
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)

    def update(self, module: nn.Module, batch) -> None:
        error = (module(batch["x"]).squeeze(1) - batch["y"]).double()
        trivial = (batch["y"] - self._mean).double()
        self._sums += torch.stack([error.square().sum(), trivial.square().sum(), torch.tensor(len(error)).double()])

    def compute(self, module: nn.Module) -> EvaluationResult:
        error, trivial, count = self._collectives.sum(self._sums).tolist()
        return EvaluationResult({"test/mse": error / count, "baseline/test/mse": trivial / count})

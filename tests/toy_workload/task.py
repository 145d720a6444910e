"""What the toy workload learns."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch import nn

from examples.diabetes.diabetes.task import DiabetesTask
from tests.toy_workload.config import ToyConfig
from trainables.contract.panels import ImagePanel, TablePanel
from trainables.contract.train_context import Progress, StartContext


class ToyTask(DiabetesTask):
    """A network of one hidden layer, without an activation."""

    evaluated_splits = ("test",)
    visualised_split = "test"
    num_visualised = 3
    block_types = (nn.Linear,)
    config: ToyConfig

    def __init__(self, config: ToyConfig, data_spec, seed: int):
        super().__init__(config, data_spec, seed)
        (num_features,) = data_spec["x"]["shape"]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            noise = [nn.BatchNorm1d(config.width), nn.Dropout(0.2)] if config.has_noise else []
            self.module = nn.Sequential(nn.Linear(num_features, config.width), *noise, nn.Linear(config.width, 1))
            if config.has_unused_parameter:
                self.module.register_parameter("unused", nn.Parameter(torch.zeros(1)))

    def visualise(self, module: nn.Module, batch: Any, progress: Progress, device: torch.device):
        assert batch["x"].shape == (3, 8) and batch["x"].device == device
        images = (torch.linspace(0, 255, 2 * 3 * 4 * 4) + progress.step).to(torch.uint8).reshape(2, 3, 4, 4)
        table = TablePanel("eval/table", ["Epoch", "Image"], [[progress.epoch, images[0]]])
        return [ImagePanel("eval/pictures", images, captions=["a", "b"], zoom=2), table]

    def on_train_start(self, start: StartContext) -> None:
        """Measure the mean over the targets that are numbers."""
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
        return {**super().state_dict(), "width": self.module[0].out_features}  # pyright: ignore

    def load_state_dict(self, state) -> None:
        super().load_state_dict(state)
        shrinks = self.config.swaps_layer_after_epoch or self.config.rounds > 1
        while shrinks and state["width"] < self.module[0].out_features:  # pyright: ignore
            self._narrow()

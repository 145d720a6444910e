"""One training as a user of plain PyTorch, of Lightning or of Ray's own pattern would write it; prints step times."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.synthetic import ROW_BYTES
from data_pipelines.contract.row_draws import torch_draws
from ray_jobs.settings.experiment import check_settings
from trainables.workloads import build_pipeline, build_task


class Images(Dataset):
    """The training images, in memory; augmented one by one, as is usual."""

    def __init__(self, folder: Path, crop_padding: int, flips: bool):
        rows = np.concatenate([np.fromfile(file, np.uint8) for file in sorted(folder.glob("data_batch_*.bin"))])
        rows = rows.reshape(-1, ROW_BYTES)
        self._labels, self._images = torch.from_numpy(rows[:, 0].astype(np.int64)), rows[:, 1:].reshape(-1, 3, 32, 32)
        crop = [v2.RandomCrop(32, padding=crop_padding)] if crop_padding else []
        self._augment = v2.Compose([*crop, *([v2.RandomHorizontalFlip()] if flips else []), v2.Identity()])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": self._augment(torch.from_numpy(self._images[index])), "label": self._labels[index]}


class Work:
    """What all peers share: network, loss, optimiser, EMA, loader, and the times at which blocks end."""

    def __init__(self, settings: dict[str, Any], loader_processes: int, num_blocks: int, steps_per_block: int):
        experiment = check_settings(settings, origin="benchmark")
        torch.set_num_threads(1)
        torch.manual_seed(0)
        data: Any = experiment.workload.data  # pyright: ignore
        pipeline = build_pipeline(experiment.workload)
        self.task = build_task(experiment.workload, pipeline.data_spec(), experiment.seed)
        self.module = self.task.module.train()
        self.draws = torch_draws(experiment.training.batch_size, 0)
        self.ema = AveragedModel(self.module, multi_avg_fn=get_ema_multi_avg_fn(0.9999))
        self.loader = DataLoader(
            Images(Path(data.path), data.crop_padding, data.horizontal_flip),
            batch_size=experiment.training.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=loader_processes,
            persistent_workers=loader_processes > 0,
        )
        self.num_steps, self.steps_per_block = (num_blocks + 1) * steps_per_block, steps_per_block
        self.ends: list[float] = []

    def loss(self, batch: Any) -> torch.Tensor:
        """The task's own."""
        return self.task.loss(self.module, batch, draws=self.draws).loss

    def build_optimizer(self) -> torch.optim.Optimizer:
        """As in the other layers."""
        return torch.optim.AdamW(self.module.parameters(), lr=2e-4, weight_decay=0.01)

    def batches(self) -> Iterator[Any]:
        """Epoch after epoch."""
        while True:
            yield from self.loader

    @property
    def blocks(self) -> list[float]:
        """Seconds per step, without the first block."""
        return [(end - start) / self.steps_per_block for start, end in pairwise(self.ends)]


def run_plain(work: Work, report: Callable[[float], None] = lambda loss: None) -> list[float]:
    """A loop."""
    optimizer, losses = work.build_optimizer(), []
    for step, batch in enumerate(work.batches(), start=1):
        loss = work.loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(work.module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        work.ema.update_parameters(work.module)
        losses.append(loss.detach())
        if step % work.steps_per_block == 0:
            report(torch.stack(losses).mean().item())
            losses.clear()
            work.ends.append(time.perf_counter())
        if step == work.num_steps:
            break
    return work.blocks


def run_lightning(work: Work, folder: str) -> list[float]:
    """A LightningModule, and the W&B logger with a row for every step."""
    import lightning  # pyright: ignore[reportMissingImports]
    from lightning.pytorch.loggers import WandbLogger  # pyright: ignore[reportMissingImports]

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.module = work.module

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            loss = work.loss(batch)
            self.log("train/loss", loss)
            return loss

        def on_train_batch_end(self, *_: Any) -> None:
            work.ema.update_parameters(work.module)
            if self.global_step % work.steps_per_block == 0:
                work.ends.append(time.perf_counter())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return work.build_optimizer()

    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=work.num_steps,
        gradient_clip_val=1.0,
        log_every_n_steps=1,
        logger=WandbLogger(project="bench", save_dir=folder, offline=True),
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), work.loader)
    return work.blocks


def run_ray(arguments: dict[str, Any], folder: str) -> list[float]:
    """A function under Tune that reports at every log interval, and Ray's own callback for W&B."""
    from ray import tune
    from ray.air.integrations.wandb import WandbLoggerCallback

    from ray_jobs.cluster.connection import connect

    def trainable(config: dict[str, Any]) -> None:
        blocks = run_plain(Work(**config), lambda loss: tune.report({"train/loss": loss}))
        tune.report({"blocks": blocks})

    connect()
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        param_space=arguments,
        run_config=tune.RunConfig(
            storage_path=folder, callbacks=[WandbLoggerCallback(project="bench", dir=folder)], verbose=0
        ),
    )
    [result] = tuner.fit()
    assert result.metrics is not None
    return result.metrics["blocks"]


def main() -> None:
    """Do what the arguments file says."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    peer = arguments.pop("peer")
    arguments.pop("began")
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_ERROR_REPORTING="false")
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as folder:
        if peer == "plain PyTorch":
            blocks = run_plain(Work(**arguments))
        elif peer == "Lightning":
            blocks = run_lightning(Work(**arguments), folder)
        else:
            blocks = run_ray(arguments, folder)
    print("\n" + json.dumps({"blocks": blocks}))


if __name__ == "__main__":
    main()

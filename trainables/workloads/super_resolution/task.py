"""The super-resolution task: trains a network to enlarge images, and evaluates and draws enlarged images."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import DataSpec
from data_pipelines.contract.row_draws import TorchDraws
from data_pipelines.super_resolution.batch import PatchBatch
from trainables.contract.export import ExportSpec
from trainables.contract.panels import ImagePanel
from trainables.contract.task import LossOutput, Task
from trainables.contract.train_context import Collectives, Progress, StartContext
from trainables.metrics.images.perceptual import load_perceptual
from trainables.workloads.super_resolution.config import SuperResolutionConfig
from trainables.workloads.super_resolution.evaluator import Best, ImageEvaluator, Standing
from trainables.workloads.super_resolution.export import describe_network
from trainables.workloads.super_resolution.loss_grammar import parse_loss
from trainables.workloads.super_resolution.losses import compute_terms
from trainables.workloads.super_resolution.networks.factory import BLOCK_TYPES, build_network
from trainables.workloads.super_resolution.plots import SamplePlots
from trainables.workloads.super_resolution.unit_range import to_zero_one


class SuperResolutionTask(Task[Any]):
    """Task whose training batches are patches of one scale; evaluated batches are complete images at every scale."""

    weights_stream = "super-resolution network"
    block_types = BLOCK_TYPES

    def __init__(self, config: SuperResolutionConfig, data_spec: DataSpec, seed: int) -> None:
        self.config, self._data_spec = config, data_spec
        self.module = build_network(config.network, config.data.scales)
        self.plots = SamplePlots(config, config.evaluation.split)
        self.best = Best()
        self._terms = parse_loss(config.loss)
        self._epoch: int | None = None
        self._perceptual: dict[str, nn.Module] | None = None

    def loss(self, module: nn.Module, batch: PatchBatch, *, draws: TorchDraws) -> LossOutput:
        """Compute the weighted terms of `config.loss`, on pixels in 0..1; each is recorded as it enters the sum."""
        scale = batch["hr"].shape[-1] // batch["lr"].shape[-1]
        enlarged = module(to_zero_one(batch["lr"]), scale)
        terms = compute_terms(self._terms, enlarged, to_zero_one(batch["hr"]))
        return LossOutput(torch.stack(list(terms.values())).sum(), terms)

    def on_train_start(self, start: StartContext) -> None:
        """Choose the crops to draw."""
        self.plots.collect(start)

    def evaluator(self, collectives: Collectives, device: torch.device) -> ImageEvaluator:
        """Build an evaluator; during a training it also reports the best epoch so far, otherwise it draws images."""
        standing = None if self._epoch is None else Standing(self._epoch, self.best)
        settings = self.config.evaluation
        if self._perceptual is None:
            self._perceptual = load_perceptual(settings.metrics, dict(settings.perceptual), device)
        return ImageEvaluator(
            self.config, standing=standing, collectives=collectives, device=device, perceptual=self._perceptual
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return one low-resolution patch."""
        side = self.config.data.lr_patch_size
        return (torch.zeros(1, 3, side, side),)

    def export_spec(self) -> ExportSpec:
        """Describe the network, with a graph for each scale."""
        return describe_network(self.module, self.config, self._data_spec)

    def visualise(self, module: nn.Module, batch: Any, progress: Progress, device: torch.device) -> list[ImagePanel]:
        """Draw LR, bicubic, ours and HR."""
        return self.plots.panels(module, device)

    def on_step_end(self, progress: Progress) -> None:
        """Store the epoch, which evaluations record."""
        self._epoch = progress.epoch

    def state_dict(self) -> dict[str, Any]:
        """Return the crops to draw, and the best epoch so far."""
        return {"drawing": self.plots.state_dict(), "best": {"psnr": self.best.psnr, "epoch": self.best.epoch}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        self.plots.load_state_dict(state["drawing"])
        self.best = Best(**state["best"])

"""The pretraining task: trains embeddings in which two views of a heart cycle are near and other cycles are far."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import DataSpec
from data_pipelines.contract.row_draws import TorchDraws
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from trainables.contract.export import ExportSpec
from trainables.contract.task import LossOutput, Task
from trainables.contract.train_context import Collectives
from trainables.workloads.heart_sound.networks.encoder import BLOCK_TYPES
from trainables.workloads.heart_sound.pretrain.config import PretrainConfig
from trainables.workloads.heart_sound.pretrain.contrastive import nt_xent, sub_structure_loss
from trainables.workloads.heart_sound.pretrain.evaluator import PretrainEvaluator, TwoViews
from trainables.workloads.heart_sound.pretrain.export import describe_encoder
from trainables.workloads.heart_sound.pretrain.network import PretrainNetwork


class PretrainTask(Task[Mapping[str, Any]]):
    """Task on batches with `signal` and `other_signal`, two views of each cycle. Negatives come from all workers."""

    module: PretrainNetwork
    weights_stream = "pretraining network"
    block_types = BLOCK_TYPES

    def __init__(self, config: PretrainConfig, data_spec: DataSpec, seed: int) -> None:
        self.config, self.seed, self._data_spec = config, seed, data_spec
        self._num_samples = int(data_spec["num_samples"])
        self.module = PretrainNetwork(config.encoder, config.contrast)
        self._collectives: Collectives | None = None

    def on_start(self, collectives: Collectives) -> None:
        """Keep the collectives, which gather negatives."""
        self._collectives = collectives

    def loss(self, module: nn.Module, batch: Mapping[str, Any], *, draws: TorchDraws) -> LossOutput:
        """Compute L = L_cycle + weight L_sub over this rank's views."""
        signal = batch["signal"]
        other = batch.get("other_signal", signal)
        first, second = module(torch.cat([signal, other])).chunk(2)
        return self.compare(first, second, batch["subject"])

    def compare(self, first: Tensor, second: Tensor, subject: Tensor, *, is_gathered: bool = True) -> LossOutput:
        """Compute the losses of two views; rows are those of the network.

        With `is_gathered` negatives are taken from all ranks.
        """
        contrast = self.config.contrast
        options: dict[str, Any] = {"temperature": contrast.temperature}
        if contrast.masks_same_subject:
            options["subject"] = subject
        if is_gathered and self._collectives is not None:
            options |= self._over_ranks(self._collectives)
        (cycles, parts), (other_cycles, other_parts) = self.module.separate(first), self.module.separate(second)
        cycle_loss = nt_xent(cycles, other_cycles, **options)
        if parts is None or other_parts is None:
            return LossOutput(cycle_loss, {"loss_cycle": cycle_loss})
        part_loss = sub_structure_loss(parts, other_parts, is_aligned=contrast.aligns_parts, **options)
        total = cycle_loss + contrast.sub_weight * part_loss
        return LossOutput(total, {"loss_cycle": cycle_loss, "loss_sub": part_loss})

    def evaluator(self, collectives: Collectives, device: torch.device) -> PretrainEvaluator:
        """Build an evaluator of subjects that are not trained on."""
        return PretrainEvaluator(
            self.compare,
            self._two_views(),
            size=self.config.validation_size,
            seed=self.seed,
            collectives=collectives,
            device=device,
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return one silent cycle."""
        return (torch.zeros(1, self._num_samples),)

    def export_spec(self) -> ExportSpec:
        """Describe the encoder; its projectors serve the training alone."""
        return describe_encoder(self.module.encoder, self.config, self._data_spec, self._num_samples)

    def _two_views(self) -> TwoViews:
        pipeline = HeartPipeline(self.config.data, None)
        return lambda batch, draws: (pipeline.change(batch, draws), pipeline.change(batch, draws))

    def _over_ranks(self, collectives: Collectives) -> dict[str, Any]:
        return {
            "gather": collectives.gather_with_gradient,
            "gather_subjects": collectives.gather,
            "num_before": lambda count: sum(collectives.counts(count)[: collectives.rank]),
        }

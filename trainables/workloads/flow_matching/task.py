"""The flow-matching task: trains the velocity between noise and images, and evaluates and draws generated images."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_pipelines.contract.pipeline import DataSpec
from data_pipelines.contract.row_draws import TorchDraws
from trainables.contract.export import ExportSpec
from trainables.contract.panels import Panel
from trainables.contract.task import LossOutput, Task
from trainables.contract.train_context import Collectives, Progress, StartContext
from trainables.workloads.flow_matching.config import FlowMatchingConfig
from trainables.workloads.flow_matching.evaluator import SampleEvaluator
from trainables.workloads.flow_matching.export import describe_network
from trainables.workloads.flow_matching.flow.network import ResBlock, SelfAttention, VelocityNetwork
from trainables.workloads.flow_matching.flow.path import drop_labels, pair_optimally, sample_path
from trainables.workloads.flow_matching.pixels import to_minus_one_one
from trainables.workloads.flow_matching.plots import SamplePlots
from trainables.workloads.flow_matching.reference.reference_scores import resolve_reference
from trainables.workloads.flow_matching.reference.reference_statistics import RealData
from trainables.workloads.flow_matching.reference.scoring import Extractor
from trainables.workloads.flow_matching.reflow.teacher import (
    WEIGHTS,
    find_file,
    load_task_state,
    load_weights,
    read_card,
    refuse_other_network,
)

logger = logging.getLogger(__name__)


class FlowMatchingTask(Task[Mapping[str, Any]]):
    """Task on batches of the image pipeline, or of `ReflowPipeline`, which hold `noise` too.

    A reflow task starts from its teacher's weights and keeps the teacher's statistics of the real images, so that
    both models are measured against the same images; its own split holds generated ones. A saved student can be
    loaded when its teacher is gone.
    """

    module: VelocityNetwork
    weights_stream = "velocity network"
    block_types = (ResBlock, SelfAttention)

    def __init__(self, config: FlowMatchingConfig, data_spec: DataSpec, seed: int) -> None:
        self.config = config
        self.seed = seed
        self._data_spec = data_spec
        self.class_names: list[str] = list(data_spec["class_names"])
        shape = (data_spec["channels"], data_spec["height"], data_spec["width"])
        network = VelocityNetwork(config.network, channels=shape[0], num_classes=len(self.class_names))
        network.check_size(shape[1], shape[2])
        self.module = network
        self.real = RealData(shape, len(self.class_names))
        chunk_size = config.evaluation.batch_size
        self.plots = SamplePlots(
            config.pictures, class_names=self.class_names, shape=shape, seed=seed, chunk_size=chunk_size
        )
        self._inception: Extractor | None = None
        if config.reflow is not None and config.reflow.teacher.exists():
            self._start_from_teacher(config.reflow.teacher, data_spec)

    def loss(self, module: nn.Module, batch: Mapping[str, Any], *, draws: TorchDraws) -> LossOutput:
        """Compute the mean squared error of the velocity over all elements (Liu et al. 2022, eq. 1)."""
        x_1 = to_minus_one_one(batch["image"])
        noise = self._noise(batch, x_1, draws)
        path = sample_path(noise, x_1, path=self.config.path, times=self.config.times, draws=draws)
        null_label = len(self.class_names)
        label = drop_labels(batch["label"], null_label, self.config.label_drop_ratio, draws=draws)
        velocity = module(path.x_t, path.t, label)
        return LossOutput(functional.mse_loss(velocity.float(), path.velocity))

    def on_train_start(self, start: StartContext) -> None:
        """Raise ValueError when a reflow task's teacher is gone."""
        if self.config.reflow is not None:
            find_file(self.config.reflow.teacher, WEIGHTS)

    def prepare_evaluation(self, start: StartContext) -> None:
        """Compute the real images' statistics, and the scores of the reference; a reflow task has its teacher's.

        Raises ValueError when a reflow task lacks what published features need.
        """
        settings = self.config.evaluation
        is_local = settings.inception_weights is None
        extractor_name = "local" if is_local else "inception"
        if self.config.reflow is not None and self._lacks_reference(extractor_name):
            if not is_local:
                raise ValueError(
                    f"the teacher {self.config.reflow.teacher} knows no Inception statistics of its real images, and "
                    "the data here are generated; train the teacher with `evaluation.inception_weights` and the same "
                    "`evaluation.metric`, or leave them out here"
                )
            logger.warning("the teacher saved no statistics: eval/fid_local compares with the teacher's images")
        if self.real.pixels is None or (is_local and self.real.network is None):
            self.real.learn(start, with_network=is_local)
        extractor = self._extractor(start.device)
        resolve_reference(self.real, extractor, settings, start)
        if settings.metric != "is" and settings.num_samples <= extractor.feature_dim:
            logger.warning(
                "%s of %d samples is biased upwards: their covariance of %d features is singular; more than %d samples "
                "(workload.evaluation.num_samples) avoid that",
                *("eval/fid_local" if is_local else "eval/fid_score", settings.num_samples),
                *(extractor.feature_dim, extractor.feature_dim),
            )

    def _lacks_reference(self, extractor: str) -> bool:
        needs_rows = self.config.evaluation.metric == "all"
        return extractor not in self.real.gaussians or (needs_rows and extractor not in self.real.features)

    def evaluator(self, collectives: Collectives, device: torch.device) -> SampleEvaluator:
        """Build an evaluator with the published features when their weights are given, else with the local ones."""
        return SampleEvaluator(
            self.config.evaluation,
            self.real,
            self._extractor(device),
            class_names=self.class_names,
            uses_labels=self.config.label_drop_ratio < 1,
            has_test_images=self.config.reflow is None,
            seed=self.seed,
            collectives=collectives,
            device=device,
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return noise at t = 0 with the first label."""
        return torch.zeros(1, *self.real.shape), torch.zeros(1), torch.zeros(1, dtype=torch.int64)

    def export_spec(self) -> ExportSpec:
        """Describe the velocity network, and how it is stepped."""
        return describe_network(self.module, self.config, self._data_spec)

    def visualise(self, module: nn.Module, batch: Any, progress: Progress, device: torch.device) -> Sequence[Panel]:
        """Draw one grid of samples, and one table that compares solvers."""
        return [self.plots.grid(module, device), self.plots.table(module, progress, device)]

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics of the real images."""
        return self.real.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        self.real.load_state_dict(state)

    def _noise(self, batch: Mapping[str, Any], x_1: Tensor, draws: TorchDraws) -> Tensor:
        if self.config.reflow is not None:
            return batch["noise"]
        x_0 = draws.normal(*x_1.shape[1:])
        return pair_optimally(x_0, x_1) if self.config.coupling == "optimal_transport" else x_0

    def _extractor(self, device: torch.device) -> Extractor:
        is_local = self.config.evaluation.inception_weights is None
        return self._local_extractor(device) if is_local else self._inception_extractor(device)

    def _local_extractor(self, device: torch.device) -> Extractor:
        network = self.real.network
        if network is None:
            raise ValueError("the feature network of eval/fid_local is missing: it is made when a run begins")
        return Extractor("local", network.feature_dim, len(self.class_names), network.to(device))

    def _inception_extractor(self, device: torch.device) -> Extractor:
        if self._inception is None:
            from trainables.metrics.generative.inception import InceptionFeatures

            assert self.config.evaluation.inception_weights is not None
            network = InceptionFeatures(self.config.evaluation.inception_weights).to(device)
            self._inception = Extractor("inception", network.feature_dim, network.num_classes, network)
        return self._inception

    def _start_from_teacher(self, folder: Path, data_spec: DataSpec) -> None:
        refuse_other_network(read_card(folder), self.config, data_spec, folder=folder)
        self.module.load_state_dict(load_weights(folder))
        self.real.load_state_dict(load_task_state(folder))

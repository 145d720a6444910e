"""Evaluator of enlarged images: measures them, and bicubic baselines, against the ground truth over all ranks."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Split
from data_pipelines.super_resolution.batch import ImagePair, PackedImages, unpack
from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.train_context import Collectives
from trainables.workloads.super_resolution.config import SuperResolutionConfig
from trainables.workloads.super_resolution.inference.enlarge_folder import enlarge_folder
from trainables.workloads.super_resolution.inference.upscaler import Upscaler
from trainables.workloads.super_resolution.plots import SamplePlots
from trainables.workloads.super_resolution.protocols.baseline import enlarge_bicubic
from trainables.workloads.super_resolution.protocols.benchmark import read_benchmark
from trainables.workloads.super_resolution.protocols.protocol import measure


@dataclass
class Best:
    """Best PSNR of a run so far, and its epoch."""

    psnr: float | None = None
    epoch: int = 0

    def update(self, psnr: float, epoch: int) -> None:
        """Keep the larger PSNR; of equal ones the earlier."""
        if self.psnr is None or psnr > self.psnr:
            self.psnr, self.epoch = psnr, epoch


@dataclass(frozen=True)
class Standing:
    """Position of the training during which an evaluation runs."""

    epoch: int
    best: Best


class ImageEvaluator(Evaluator[PackedImages]):
    """Evaluator whose metrics are means over images, each counted once over all ranks.

    It reads a split of the run's data, or a benchmark folder; or it only enlarges a folder of images without ground
    truth. Outside a training (`standing` is None) it also draws the first of the images it measures.
    """

    def __init__(
        self,
        config: SuperResolutionConfig,
        *,
        standing: Standing | None,
        collectives: Collectives,
        device: torch.device,
    ) -> None:
        self._config, self._standing = config, standing
        self._collectives, self._device = collectives, device
        self._upscaler = Upscaler(config.inference, device)
        self._scales, self._metrics = config.data.scales, config.evaluation.metrics
        # for each scale: ours and bicubic, each metric
        self._sums = torch.zeros(len(self._scales), 2, len(self._metrics), dtype=torch.float64, device=device)
        self._counts = torch.zeros(len(self._scales), dtype=torch.float64, device=device)
        self._plots = SamplePlots(config, config.measured_split)
        reads_folder = config.evaluation.images is not None or config.evaluation.benchmark is not None
        self.split: Split | None = None if reads_folder else config.evaluation.split

    def update(self, module: nn.Module, batch: PackedImages) -> None:
        """Enlarge and measure each image at every scale."""
        for index, scale in enumerate(self._scales):
            for pair in unpack(batch, scale):
                self._add(module, index, pair)

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Return the metrics of the first scale by their plain names, of others by `x<scale>`; a collective."""
        settings = self._config.evaluation
        if settings.images is not None:
            return EvaluationResult({}, files=enlarge_folder(module, self._upscaler, self._config, self._collectives))
        if settings.benchmark is not None:
            for pairs in read_benchmark(settings.benchmark, self._scales, self._collectives):
                for index, scale in enumerate(self._scales):
                    self._add(module, index, ImagePair(*(each.to(self._device) for each in pairs[scale])))
        means = self._collectives.sum(self._sums) / self._collectives.sum(self._counts)[:, None, None]
        metrics = self._name(means)
        if self._standing is None:
            self._plots.gather(self._collectives, self._device)
            return EvaluationResult(metrics, panels=self._plots.panels(module, self._device))
        return EvaluationResult(metrics | self._note(metrics))

    def _add(self, module: nn.Module, index: int, pair: ImagePair) -> None:
        scale, protocol = self._scales[index], self._config.evaluation.protocol
        images = self._upscaler(module, pair.lr, scale), enlarge_bicubic(pair.lr, scale)
        for kind, image in enumerate(images):
            values = measure(image, pair.hr, scale=scale, protocol=protocol, metrics=self._metrics)
            self._sums[index, kind] += values
        self._counts[index] += 1
        if index == 0 and self._standing is None:
            self._plots.add(pair)

    def _name(self, means: Tensor) -> dict[str, float]:
        split = self._config.measured_split
        named: dict[str, float] = {}
        for index, scale in enumerate(self._scales):
            prefix = split if index == 0 else f"{split}/x{scale}"
            for number, metric in enumerate(self._metrics):
                ours, bicubic = means[index, :, number].tolist()
                named |= {f"{prefix}/{metric}": ours, f"baseline/{prefix}/{metric}": bicubic}
        return named

    def _note(self, metrics: dict[str, float]) -> dict[str, float]:
        assert self._standing is not None
        split, best = self._config.measured_split, self._standing.best
        best.update(metrics[f"{split}/psnr"], self._standing.epoch)
        assert best.psnr is not None
        return {
            f"{split}/epoch": self._standing.epoch,
            f"{split}/best_psnr": best.psnr,
            f"{split}/best_epoch": best.epoch,
        }

"""Evaluator of enlarged images: measures them, and bicubic baselines, against the ground truth over all ranks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Split
from data_pipelines.super_resolution.batch import ImagePair, PackedImages, unpack
from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.prediction import Row, Value
from trainables.contract.train_context import Collectives
from trainables.contract.workload_config import BASELINE
from trainables.workloads.super_resolution.config import SuperResolutionConfig
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

    It reads a split of the run's data, or a benchmark folder. Outside a training (`standing` is None) it also draws the
    first of the images it measures.
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
        self._scores: list[tuple[dict[str, Value], list[Tensor]]] = []
        """Names and size of each image, and its scores at each scale as `_add` returns them."""
        self._plots = SamplePlots(config, config.measured_split)
        self.split: Split | None = None if config.evaluation.benchmark is not None else config.evaluation.split

    def update(self, module: nn.Module, batch: PackedImages) -> None:
        """Enlarge and measure each image at every scale."""
        for pairs in zip(*(unpack(batch, scale) for scale in self._scales), strict=True):
            self._add_image(module, pairs)

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Return the metrics of the first scale by their plain names, of others by `x<scale>`; a collective."""
        settings = self._config.evaluation
        if settings.benchmark is not None:
            for place, name, pairs in read_benchmark(settings.benchmark, self._scales, self._collectives):
                here = [ImagePair(*(each.to(self._device) for each in pairs[scale])) for scale in self._scales]
                self._add_image(module, here, sample=place, image=name)
        means = self._collectives.sum(self._sums) / self._collectives.sum(self._counts)[:, None, None]
        metrics = self._name(means)
        if self._standing is None:
            self._plots.gather(self._collectives, self._device)
            return EvaluationResult(metrics, self._plots.panels(module, self._device), predictions=self._rows)
        return EvaluationResult(metrics | self._note(metrics))

    def _add_image(self, module: nn.Module, pairs: Sequence[ImagePair], **names: Value) -> None:
        row: dict[str, Value] = {"split": self._config.measured_split, **names}
        row |= {"height": pairs[0].hr.shape[-2], "width": pairs[0].hr.shape[-1]}
        self._scores.append((row, [self._add(module, index, pair) for index, pair in enumerate(pairs)]))

    def _add(self, module: nn.Module, index: int, pair: ImagePair) -> Tensor:
        """Measure an image at one scale; returns its scores and those of bicubic, [2, metrics]."""
        scale, protocol = self._scales[index], self._config.evaluation.protocol
        images = self._upscaler(module, pair.lr, scale), enlarge_bicubic(pair.lr, scale)
        values = torch.stack(
            [measure(image, pair.hr, scale=scale, protocol=protocol, metrics=self._metrics) for image in images]
        )
        self._sums[index] += values
        self._counts[index] += 1
        if index == 0 and self._standing is None:
            self._plots.add(pair)
        return values

    def _rows(self) -> list[Row]:
        return [
            row | {name: value for index, values in enumerate(scores) for name, value in self._columns(index, values)}
            for row, scores in self._scores
        ]

    def _columns(self, index: int, values: Tensor) -> Iterator[tuple[str, float]]:
        place = "" if index == 0 else f"x{self._scales[index]}/"
        for kind, scores in zip(("", BASELINE), values.tolist(), strict=True):
            yield from zip([f"{kind}{place}{name}" for name in self._metrics], scores, strict=True)

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

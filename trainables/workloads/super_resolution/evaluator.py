"""Evaluator of enlarged images: measures them, and bicubic baselines, against the ground truth over all ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Split
from data_pipelines.super_resolution.batch import ImagePair, PackedImages, unpack, unpack_names
from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.panels import Panel
from trainables.contract.prediction import Row, Value
from trainables.contract.train_context import Collectives
from trainables.contract.workload_config import BASELINE
from trainables.metrics.bootstrap import bootstrap_ends
from trainables.workloads.super_resolution.benchmark_pictures import BenchmarkPictures
from trainables.workloads.super_resolution.config import SuperResolutionConfig
from trainables.workloads.super_resolution.inference.upscaler import Upscaler
from trainables.workloads.super_resolution.plots import SamplePlots
from trainables.workloads.super_resolution.protocols.benchmark import list_benchmark, read_benchmark
from trainables.workloads.super_resolution.protocols.protocol import Comparison, enlarge_bicubic, measure


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

    It reads a split of the run's data, or benchmark folders. Outside a training (`standing` is None) it also counts the
    images, gives the intervals of their means, and draws the first of a split, or all of the benchmarks.
    """

    def __init__(
        self,
        config: SuperResolutionConfig,
        *,
        standing: Standing | None,
        collectives: Collectives,
        device: torch.device,
        perceptual: Mapping[str, Comparison] | None = None,
    ) -> None:
        self._config, self._standing = config, standing
        self._collectives, self._device, self._perceptual = collectives, device, perceptual
        self._upscaler = Upscaler(config.inference, device)
        self._scales, self._metrics = config.data.scales, config.evaluation.metrics
        places = len(config.measured)
        # for each split or benchmark, and each scale: ours and bicubic, each metric
        shape = (places, len(self._scales), 2, len(self._metrics))
        self._sums = torch.zeros(shape, dtype=torch.float64, device=device)
        self._counts = torch.zeros(places, dtype=torch.float64, device=device)
        self._scores: list[tuple[dict[str, Value], list[Tensor]]] = []
        """Names and size of each image, and its scores at each scale, [2, metrics]."""
        self._plots = SamplePlots(config, config.evaluation.split)
        self._pictures = BenchmarkPictures(config)
        self._benchmarks = {name: list_benchmark(path, self._scales) for name, path in config.benchmarks.items()}
        self.split: Split | None = None if self._benchmarks else config.evaluation.split

    def update(self, module: nn.Module, batch: PackedImages) -> None:
        """Enlarge and measure each image at every scale."""
        for name, *pairs in zip(unpack_names(batch), *(unpack(batch, scale) for scale in self._scales), strict=True):
            self._add_image(module, 0, pairs, {"image": name})
            if self._standing is None:
                self._plots.add(pairs[0])

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Return the metrics of the first scale by their plain names, of others by `x<scale>`; a collective."""
        for place, (benchmark, entries) in enumerate(self._benchmarks.items()):
            for number, name, pairs in read_benchmark(benchmark, entries, self._scales, self._collectives):
                here = [ImagePair(*(each.to(self._device) for each in pairs[scale])) for scale in self._scales]
                enlarged, scores = self._add_image(module, place, here, {"sample": number, "image": name})
                if self._standing is None:
                    self._pictures.add(benchmark, number, name, pair=here[0], enlarged=enlarged, scores=scores)
        counts = self._collectives.sum(self._counts)
        means = self._collectives.sum(self._sums) / counts[:, None, None, None]
        metrics: dict[str, float] = {}
        for place, by_scale in zip(self._config.measured, means, strict=True):
            for index, scores in enumerate(by_scale):
                metrics |= self._name(scores, index, f"{place}/")
        if self._standing is not None:
            return EvaluationResult(metrics | self._note(metrics))
        metrics |= self._intervals()
        metrics |= zip((f"{place}/num_images" for place in self._config.measured), counts.tolist(), strict=True)
        return EvaluationResult(metrics, self._panels(module), predictions=self._rows)

    def _intervals(self) -> dict[str, float]:
        """Return the ends of the 95 % bootstrap interval of each mean, whose images are drawn; a collective."""
        mine = [
            (row["split"], row.get("sample", 0), torch.stack(scores)[:, 0].tolist()) for row, scores in self._scores
        ]
        found = [each for of in self._collectives.gather_values(mine) for each in of]
        metrics: dict[str, float] = {}
        for place in self._config.measured:
            of = sorted((each for each in found if each[0] == place), key=lambda each: each[1])
            values = np.array([scores for *_, scores in of])
            if len(values) > 1 and np.isfinite(values).all():
                metrics |= bootstrap_ends(np.arange(len(values)), partial(self._name_means, values, place))
        return metrics

    def _name_means(self, values: np.ndarray, place: str, rows: np.ndarray) -> dict[str, float]:
        """Return the means of scores of ours, [images, scales, metrics], over some images."""
        named: dict[str, float] = {}
        for index, means in enumerate(values[rows].mean(axis=0)):
            both = torch.from_numpy(np.stack([means, means]))
            named |= {name: each for name, each in self._name(both, index, f"{place}/").items() if BASELINE not in name}
        return named

    def _panels(self, module: nn.Module) -> Sequence[Panel]:
        if self._benchmarks:
            return self._pictures.panels(self._collectives)
        self._plots.gather(self._collectives, self._device)
        return self._plots.panels(module, self._device)

    def _add_image(
        self, module: nn.Module, place: int, pairs: Sequence[ImagePair], names: Mapping[str, Value]
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Measure an image at all scales; returns its enlargements at the first, ours and bicubic, and their scores."""
        row: dict[str, Value] = {"split": self._config.measured[place], **names}
        row |= {"height": pairs[0].hr.shape[-2], "width": pairs[0].hr.shape[-1]}
        enlarged = [
            (self._upscaler(module, pair.lr, scale), enlarge_bicubic(pair.lr, scale))
            for pair, scale in zip(pairs, self._scales, strict=True)
        ]
        scores = [self._measure(*each) for each in zip(enlarged, pairs, self._scales, strict=True)]
        self._sums[place] += torch.stack(scores)
        self._counts[place] += 1
        self._scores.append((row, scores))
        return enlarged[0], scores[0]

    def _measure(self, images: Sequence[Tensor], pair: ImagePair, scale: int) -> Tensor:
        """Return the scores of our image and of bicubic, [2, metrics]."""
        rules: dict[str, Any] = {"scale": scale, "protocol": self._config.evaluation.protocol}
        rules |= {"metrics": self._metrics, "perceptual": self._perceptual}
        return torch.stack([measure(image, pair.hr, **rules) for image in images])

    def _rows(self) -> list[Row]:
        return [
            row | {name: value for index, each in enumerate(scores) for name, value in self._name(each, index).items()}
            for row, scores in self._scores
        ]

    def _name(self, scores: Tensor, index: int, place: str = "") -> dict[str, float]:
        """Name the scores at a scale, [2, metrics], ours and bicubic."""
        prefix = place if index == 0 else f"{place}x{self._scales[index]}/"
        return {
            f"{kind}{prefix}{name}": value
            for kind, values in zip(("", BASELINE), scores.tolist(), strict=True)
            for name, value in zip(self._metrics, values, strict=True)
        }

    def _note(self, metrics: dict[str, float]) -> dict[str, float]:
        assert self._standing is not None
        place, best = self._config.measured[0], self._standing.best
        best.update(metrics[f"{place}/psnr"], self._standing.epoch)
        assert best.psnr is not None
        return {
            f"{place}/epoch": self._standing.epoch,
            f"{place}/best_psnr": best.psnr,
            f"{place}/best_epoch": best.epoch,
        }

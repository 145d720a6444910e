"""Pictures of all images of the benchmarks, each beside its scores: the middle of LR, bicubic, ours and HR."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from data_pipelines.super_resolution.batch import ImagePair
from trainables.contract.panels import ImagePanel, Panel, TablePanel
from trainables.contract.train_context import Collectives
from trainables.workloads.super_resolution.config import SuperResolutionConfig
from trainables.workloads.super_resolution.plots import crop_middle, picture_row

Row = tuple[int, str, list[float], UInt8[Tensor, "4 3 height width"], list[str]]
"""An image's number, name, scores (ours, then bicubic), pictures and their captions."""


class BenchmarkPictures:
    """Pictures at the first scale, filled by `add`, with the scores of the complete images."""

    def __init__(self, config: SuperResolutionConfig) -> None:
        self._config = config
        self._scale = config.data.scales[0]
        self._rows: dict[str, list[Row]] = {name: [] for name in config.benchmarks}

    def add(
        self,
        benchmark: str,
        number: int,
        name: str,
        *,
        pair: ImagePair,
        enlarged: Sequence[UInt8[Tensor, "3 height width"]],
        scores: Float[Tensor, "2 metrics"],
    ) -> None:
        """Keep the middle of an image, `pictures.side` wide or as wide as it is.

        `number` is the position of the image in the benchmark, `enlarged` are the network's enlargement and the bicubic
        one, and `scores` those of both.
        """
        ours, bicubic = (crop_middle(ImagePair(pair.lr, image), self._side(pair), self._scale).hr for image in enlarged)
        middle = crop_middle(pair, self._side(pair), self._scale)
        of_ours, of_bicubic = map(self._describe, scores)
        captions = [f"LR x{self._scale}", f"bicubic {of_bicubic}", f"ours {of_ours}", f"HR {name}"]
        tiles = picture_row(captions, middle, ours=ours, bicubic=bicubic)
        self._rows[benchmark].append((number, name, scores.flatten().tolist(), tiles, captions))

    def panels(self, collectives: Collectives) -> list[Panel]:
        """Draw the table `<benchmark>/images` and, of the first images, `<benchmark>/comparison`; a collective."""
        panels: list[Panel] = []
        parts = collectives.gather_values(self._rows)
        metrics = self._config.evaluation.metrics
        columns = ["image", *metrics, *(f"bicubic {name}" for name in metrics), "picture"]
        for benchmark in self._rows:
            rows: list[Row] = sorted((row for part in parts for row in part[benchmark]), key=lambda row: row[0])
            cells = [[name, *scores, torch.cat(list(tiles), dim=2)] for _, name, scores, tiles, _ in rows]
            panels.append(TablePanel(f"{benchmark}/images", columns, cells))
            panels += self._compare(benchmark, rows)
        return panels

    def _compare(self, benchmark: str, rows: Sequence[Row]) -> list[Panel]:
        """Draw the first images that are at least as large as the others of them."""
        widest = max((tiles.shape[-1] for *_, tiles, _ in rows), default=0)
        chosen = [row for row in rows if row[3].shape[-1] == widest][: self._config.pictures.num_images]
        if not chosen:
            return []
        captions = [caption for row in chosen for caption in row[4]]
        return [ImagePanel(f"{benchmark}/comparison", torch.cat([row[3] for row in chosen]), captions, columns=4)]

    def _side(self, pair: ImagePair) -> int:
        return min(self._config.pictures.side // self._scale, *pair.lr.shape[-2:])

    def _describe(self, scores: Float[Tensor, " metrics"]) -> str:
        named = dict(zip(self._config.evaluation.metrics, scores.tolist(), strict=True))
        return f"{named['psnr']:.2f} dB" + (f", SSIM {named['ssim']:.4f}" if "ssim" in named else "")

"""Settings of the super-resolution workload; torch-free, so that an experiment is checked in milliseconds."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from data_pipelines.contract.config import Config, InputPaths
from data_pipelines.contract.pipeline import SPLITS
from data_pipelines.super_resolution.config import SuperResolutionData
from trainables.contract.perceptual_weights import PerceptualWeights
from trainables.contract.workload_config import Mode, WorkloadConfig
from trainables.workloads.super_resolution.loss_grammar import parse_loss
from trainables.workloads.super_resolution.network_config import AnyNetwork, SymUNet, TransENet

ProtocolName = Literal["uc_merced", "y_channel", "div2k"]
MetricName = Literal["psnr", "ssim", "scc", "sam", "uqi", "lpips", "dists"]
LOWER_IS_BETTER = ("sam", "lpips", "dists")
_RESERVED = {*SPLITS, "baseline"}
"""Beginnings of metrics' names that are no benchmark's."""


class Inference(Config):
    """Settings of the enlargement of one image."""

    tile_size: int | None = Field(default=None, ge=8)
    """Side of the low-resolution tiles that the network gets one by one, so that memory does not grow with the
    image; null: the complete image, except for TransENet, which gets tiles of the training patch's size."""
    overlap: int = Field(default=16, ge=0)
    """Low-resolution pixels that neighbouring tiles share; half of them are discarded on each side of a seam."""
    has_self_ensemble: bool = False
    """Mean over the eight dihedral states of the image; eight times the cost."""
    back_projections: int = Field(default=0, ge=0, le=100)
    """Number of times that the result is downscaled and compared with the input, and the difference is added. Published
    UC Merced tests use 10."""

    @model_validator(mode="after")
    def _tiles_advance(self) -> Self:
        if self.tile_size is not None and self.overlap >= self.tile_size:
            raise ValueError(f"`overlap` ({self.overlap}) must be below `tile_size` ({self.tile_size})")
        return self


class Evaluation(Config):
    """Settings of the evaluation."""

    split: Literal["val", "test"] = "val"
    """Split that is evaluated while the network trains."""
    protocol: ProtocolName = "uc_merced"
    """uc_merced: RGB, one low-resolution pixel cut off at each side, mean of the channels' PSNR. y_channel: luma only,
    as for Set5. div2k: RGB, six pixels more cut off, one error over all channels."""
    metrics: tuple[MetricName, ...] = ("psnr", "ssim")
    """psnr and any of ssim, scc, sam, uqi, and, with `perceptual`, lpips and dists."""
    perceptual: PerceptualWeights = PerceptualWeights()
    inference: Inference = Inference()
    benchmark: InputPaths | None = None
    """Measure on this folder instead, or on each of a list, in which all images are test images: pairs, or images at
    high resolution."""

    @field_validator("metrics")
    @classmethod
    def _has_psnr(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "psnr" not in value or len(set(value)) != len(value):
            raise ValueError(
                f"{list(value)}: psnr decides which model is best and must be there; name each metric once"
            )
        return value

    @model_validator(mode="after")
    def _perceptual_metrics_have_weights(self) -> Self:
        given = self.perceptual
        if "lpips" in self.metrics and given.lpips is None:
            raise ValueError(
                "`metrics` asks for lpips; give `perceptual.lpips`, the file alex.pth or vgg.pth of its official "
                "repository, and torchvision's network for it, `perceptual.alexnet` or `perceptual.vgg16`"
            )
        if "dists" in self.metrics and (given.dists is None or given.vgg16 is None):
            raise ValueError(
                "`metrics` asks for dists; give `perceptual.dists`, the file weights.pt of its official repository, "
                "and `perceptual.vgg16`, the file vgg16-397923af.pth of torchvision"
            )
        return self

    @field_validator("benchmark")
    @classmethod
    def _each_benchmark_once(cls, value: tuple[Path, ...] | None) -> tuple[Path, ...] | None:
        if value and len(set(value)) != len(value):
            raise ValueError(f"{[str(path) for path in value]}: name each folder once")
        return value or None


class Pictures(Config):
    """Settings of the pictures: LR, bicubic, ours and HR beside one another, of the same crops at every cadence."""

    num_images: int = Field(default=4, ge=0, le=64)
    """The first images of the evaluated split that are large enough."""
    side: int = Field(default=96, ge=48, le=1024)
    """Side of the square in the middle of the image, in high-resolution pixels."""


class SuperResolutionConfig(WorkloadConfig):
    """Settings of super-resolution of single images, remote sensing above all."""

    name: Literal["super_resolution"] = "super_resolution"
    data: SuperResolutionData = SuperResolutionData()
    network: AnyNetwork = SymUNet()
    """The network, by its name."""
    loss: str = "1*L1"
    """Terms weight*TYPE joined by +; types: L1, MSE, FFT, FFTL1, StableFFT, Freq, FreqNorm."""
    evaluation: Evaluation = Evaluation()
    pictures: Pictures = Pictures()

    evaluation_options: ClassVar[dict[str, str]] = {
        "split": "workload.evaluation.split",
        "protocol": "workload.evaluation.protocol",
        "metrics": "workload.evaluation.metrics",
        "tile-size": "workload.evaluation.inference.tile_size",
        "overlap": "workload.evaluation.inference.overlap",
        "self-ensemble": "workload.evaluation.inference.has_self_ensemble",
        "back-projections": "workload.evaluation.inference.back_projections",
        "benchmark": "workload.evaluation.benchmark",
        "lpips-weights": "workload.evaluation.perceptual.lpips",
        "dists-weights": "workload.evaluation.perceptual.dists",
        "alexnet-weights": "workload.evaluation.perceptual.alexnet",
        "vgg16-weights": "workload.evaluation.perceptual.vgg16",
    }

    metric_x_axes: ClassVar[dict[str, str | None]] = {"train/*": None, "train/epoch_*": "epoch", "*": "epoch"}
    """A tracker gets values per epoch alone, as in the original. Every row has `epoch`; `val/epoch` is only in those of
    evaluations, and not when another split is measured."""

    def check_inputs(self) -> None:
        """Raise ValueError unless the networks of the perceptual metrics can be read."""
        if {"lpips", "dists"} & set(self.evaluation.metrics):
            import torch

            from trainables.metrics.images.perceptual import load_perceptual

            load_perceptual(self.evaluation.metrics, dict(self.evaluation.perceptual), torch.device("cpu"))

    @property
    def run_name_parts(self) -> tuple[str, ...]:
        """For example `symunet`, `uc_merced`, `scale4`."""
        return (self.network.name, self.data.source, f"scale{'+'.join(map(str, self.data.scales))}")

    @field_validator("loss")
    @classmethod
    def _loss_can_be_read(cls, value: str) -> str:
        parse_loss(value)
        return value

    @model_validator(mode="after")
    def _patches_are_whole_tokens(self) -> Self:
        if isinstance(self.network, TransENet) and self.data.lr_patch_size % self.network.patch_side:
            raise ValueError(
                f"`data.lr_patch_size` ({self.data.lr_patch_size}) must be a multiple of `network.patch_side` "
                f"({self.network.patch_side})"
            )
        return self

    @property
    def inference(self) -> Inference:
        """Settings with the tile that the network needs.

        TransENet accepts one image size only, that of its training patches.
        """
        given = self.evaluation.inference
        if given.tile_size is not None or not isinstance(self.network, TransENet):
            return given
        side = self.data.lr_patch_size
        return given.model_copy(update={"tile_size": side, "overlap": min(given.overlap, side // 2)})

    @property
    def benchmarks(self) -> Mapping[str, Path]:
        """Folders of the benchmarks by their names in metrics: those of the folders, after as many parents as needed.

        `/data/Set5/HR` and `/data/Set14/HR` are `Set5_HR` and `Set14_HR`.
        """
        folders = self.evaluation.benchmark or ()
        names: list[str] = []
        for length in range(1, 1 + max((len(path.parts) for path in folders), default=0)):
            names = [re.sub(r"[^\w+-]", "_", "_".join(path.parts[-length:])) for path in folders]
            if len(set(names)) == len(names) and not _RESERVED & set(names):
                break
        return dict(zip(names, folders, strict=True))

    @property
    def measured(self) -> tuple[str, ...]:
        """Beginnings of the results' names: the benchmarks, or the split."""
        return tuple(self.benchmarks) or (self.evaluation.split,)

    @property
    def selectable(self) -> Mapping[str, Mode]:
        """PSNR at the first scale of what is measured first; any metric at any scale."""
        names = ["psnr", *self.evaluation.metrics]
        scales = ["", *(f"x{scale}/" for scale in self.data.scales[1:])]
        return {
            f"{place}/{scale}{name}": "min" if name in LOWER_IS_BETTER else "max"
            for place in (*self.measured, "val", "test")
            for scale in scales
            for name in names
        }

"""Speed of a training as system metrics: samples a second, waiting, saving, and how much of the device is used."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.contract.training_config import Precision
from trainables.engine.files.messages import Speed

logger = logging.getLogger(__name__)
TERA = 1e12
PEAKS: dict[str, dict[str, float]] = {
    "NVIDIA H200": {"bf16": 989.5, "fp16": 989.5, "tf32": 494.7, "fp32": 66.9},
    "NVIDIA H100 80GB HBM3": {"bf16": 989.5, "fp16": 989.5, "tf32": 494.7, "fp32": 66.9},
    "NVIDIA H100 PCIe": {"bf16": 756.5, "fp16": 756.5, "tf32": 378.0, "fp32": 51.2},
    "NVIDIA A100.*GB( PCIe)?": {"bf16": 312.0, "fp16": 312.0, "tf32": 156.0, "fp32": 19.5},
    "NVIDIA L40S": {"bf16": 362.0, "fp16": 362.0, "tf32": 183.2, "fp32": 91.6},
    "NVIDIA L4": {"bf16": 121.0, "fp16": 121.0, "tf32": 60.0, "fp32": 30.3},
    "(NVIDIA|Tesla) T4": {"fp16": 65.0, "fp32": 8.1},
    "(NVIDIA|Tesla) V100-SXM2.*GB": {"fp16": 125.0, "fp32": 15.7},
}
"""TFLOP/s by a pattern of the device's name, without the doubling for sparse weights. Source: NVIDIA's data sheets of
these products. A slice of a GPU (MIG) has a name of its own, and is not among them."""


class Utilization:
    """Model FLOPs utilisation (Chowdhery et al. 2022, "PaLM", appendix B) of one rank's device.

    It is the operations of a step over those of the device's peak in the time of a step: two for each
    multiply-accumulate of products and attention, forward and backward, also of what activation checkpointing computes
    again. They are counted in the first step of each architecture. Where no peak is known nothing is counted.
    `is_wanted` is whether this rank counts at all.
    """

    def __init__(self, device: torch.device, precision: Precision, *, is_wanted: bool = True):
        self._device = device
        self._precision: Precision = precision
        self._has_looked = self._is_counted = not is_wanted
        self._peak: float | None = None
        self._flops = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the operations of the step inside the block, unless that was done.

        It is a step of the training itself, so collectives inside of it meet those of other ranks. A compiled module is
        not compiled yet then.
        """
        if not self._has_looked:  # not before: the precision of products is set when the training starts
            self._peak, self._has_looked = find_peak(self._device, self._precision), True
        if self._is_counted or self._peak is None:
            yield
            return
        with FlopCounterMode(display=False) as counter, torch.compiler.set_stance("force_eager"):
            yield
        self._flops, self._is_counted = float(counter.get_total_flops()), True

    def forget(self) -> None:
        """Count again in the next step, as the architecture may have changed."""
        self._is_counted, self._flops = self._is_counted and self._peak is None, 0.0

    def ratio(self, step_s: float) -> float | None:
        """Return the utilisation at so many seconds a step; None where it is not known."""
        return self._flops / (step_s * self._peak) if self._peak and self._flops and step_s else None


def name_speed(speed: Speed, mfu: float | None) -> dict[str, float]:
    """Return the speed since the last report under names of system metrics; what was not measured is absent."""
    found: dict[str, float] = {}
    if speed["step_s"]:
        found |= {"samples_per_s": speed["samples_per_s"], "data_wait_ratio": speed["data_wait_ratio"]}
    if "checkpoint_s" in speed:
        found["checkpoint_s"] = speed["checkpoint_s"]
    if mfu is not None:
        found["mfu"] = mfu
    return {f"system/{name}": value for name, value in found.items()}


def find_peak(device: torch.device, precision: Precision) -> float | None:
    """Return a device's peak in FLOP/s; None on the CPU, and for a GPU that is not in the table, which is logged."""
    if device.type != "cuda":
        return None
    name, kind = torch.cuda.get_device_name(device), precision
    if precision == "fp32" and torch.get_float32_matmul_precision() != "highest":
        kind = "tf32"
    for pattern, peaks in PEAKS.items():
        if re.fullmatch(pattern, name) and kind in peaks:
            return peaks[kind] * TERA
    logger.warning("system/mfu is not recorded, as the peak of %s in %s is not known", name, kind)
    return None

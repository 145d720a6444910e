"""Speed of a training as system metrics: samples a second, waiting, saving, and how much of the device is used."""

import logging
from collections.abc import Callable, Sequence

import torch

from trainables.contract.training_config import Precision
from trainables.engine.files.messages import Speed
from trainables.engine.process.device_peaks import find_peak
from trainables.engine.step.flops import count_flops
from trainables.engine.step.train_step import Optimization, StepPart

logger = logging.getLogger(__name__)


class Utilization:
    """Model FLOPs utilisation (Chowdhery et al. 2022, "PaLM", appendix B) of one rank's device.

    It is the operations of a step over those of the device's peak in the time of a step. They are counted once for each
    architecture, before its first step. Where no peak is known nothing is counted.
    """

    def __init__(self, device: torch.device, precision: Precision):
        self._device = device
        self._precision: Precision = precision
        self._peak: float | None = None
        self._has_looked = self._is_counted = False
        self._flops = 0.0

    def count(self, optimization: Optimization, make_parts: Callable[[], Sequence[StepPart]]) -> None:
        """Count the operations of a step, unless that was done; `make_parts` makes copies of its micro-batches."""
        if self._is_counted:
            return
        self._is_counted = True
        if not self._has_looked:  # precision of products is set when the training starts
            self._peak, self._has_looked = find_peak(self._device, self._precision), True
        if self._peak is None:
            return
        try:
            self._flops = count_flops(optimization, make_parts())
        except torch.OutOfMemoryError:
            logger.warning("system/mfu is not recorded: a copy of the network to count its operations does not fit")

    def forget(self) -> None:
        """Count again before the next step, as the architecture may have changed."""
        self._is_counted, self._flops = False, 0.0

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

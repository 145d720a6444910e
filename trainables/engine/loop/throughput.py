"""Speed of a training as system metrics: samples a second, waiting, saving, and how much of the device is used."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.contract.training_config import Precision
from trainables.engine.files.messages import Speed
from trainables.engine.process.device_peaks import find_peak


class Utilization:
    """Model FLOPs utilisation (Chowdhery et al. 2022, "PaLM", appendix B) of one rank's device.

    It is the operations of a step over those of the device's peak in the time of a step: two for each
    multiply-accumulate of products and attention, forward and backward, also of what activation checkpointing computes
    again. They are counted in the first step of each architecture. Where no peak is known nothing is counted.

    Args:
        device: Device of this rank.
        precision: Precision of the forward passes.
        is_wanted: Whether this rank counts at all.
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

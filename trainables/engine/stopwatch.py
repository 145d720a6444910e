"""How fast the steps are and how much of the time they wait for data; never part of a run's rows."""

import resource
import sys
import time
from collections.abc import Iterator
from typing import TypeVar

from trainables.engine.report import Speed

Item = TypeVar("Item")


class Stopwatch:
    """Counts stepping time between reports; evaluation and saving are left out by `pause` and `resume`."""

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._started = time.perf_counter()
        self._stepping = self._waiting = 0.0
        self._num_steps = 0

    def time_waiting(self, items: Iterator[Item]) -> Iterator[Item]:
        """The same items; the time until each arrives counts as waiting."""
        self.resume()
        while True:
            began = time.perf_counter()
            item = next(items, None)
            self._waiting += time.perf_counter() - began
            if item is None:
                return
            self._num_steps += 1
            yield item

    def pause(self) -> None:
        """Stop counting; counted twice in a row it does nothing more."""
        now = time.perf_counter()
        self._stepping += now - self._started
        self._started = now

    def resume(self) -> None:
        """Count from now on."""
        self._started = time.perf_counter()

    def lap(self) -> Speed:
        """The speed since the last lap."""
        stepping, waiting, steps = self._stepping, self._waiting, self._num_steps
        self._stepping, self._waiting, self._num_steps = 0.0, 0.0, 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return {
            "samples_per_s": steps * self._batch_size / stepping if stepping else 0.0,
            "step_s": stepping / steps if steps else 0.0,
            "data_wait_ratio": min(waiting / stepping, 1.0) if stepping else 0.0,
            "peak_memory_mib": peak,
        }

"""Stopwatch: speed of the steps and their time waiting for data; never part of a run's rows."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from trainables.engine.files.messages import Saved, Speed

Item = TypeVar("Item")


class Stopwatch:
    """Timer of steps, logging and reports; evaluation, pictures and saving are inside `paused`."""

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._counted_until = time.perf_counter()
        self._stepping = self._waiting = 0.0
        self._num_steps = 0
        self._is_paused = False
        self._evaluating = 0.0
        self._saving: float | None = None

    def time_waiting(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the same items; the time until each arrives counts as waiting."""
        while True:
            began = time.perf_counter()
            item = next(items, None)
            self._waiting += time.perf_counter() - began
            if item is None:
                return
            self._num_steps += 1
            yield item

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time inside the block."""
        self._count()
        self._is_paused = True
        yield
        self._is_paused = False
        self._counted_until = time.perf_counter()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Count the time inside the block as evaluation."""
        began = time.perf_counter()
        yield
        self._evaluating += time.perf_counter() - began

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Count the time inside the block as that of a checkpoint."""
        began = time.perf_counter()
        yield
        self._saving = (self._saving or 0.0) + time.perf_counter() - began

    def _count(self) -> None:
        now = time.perf_counter()
        self._stepping += 0.0 if self._is_paused else now - self._counted_until
        self._counted_until = now

    def lap(self) -> Speed:
        """Return the speed since the last lap."""
        self._count()
        stepping, waiting, steps = self._stepping, self._waiting, self._num_steps
        evaluating = self._evaluating
        self._stepping, self._waiting, self._num_steps, self._evaluating = 0.0, 0.0, 0, 0.0
        saved: Saved = {} if self._saving is None else {"checkpoint_s": self._saving}
        self._saving = None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return {
            "samples_per_s": steps * self._batch_size / stepping if stepping else 0.0,
            "step_s": stepping / steps if steps else 0.0,
            "data_wait_ratio": min(waiting / stepping, 1.0) if stepping else 0.0,
            "peak_memory_mib": peak,
            "computing_s": max(stepping - waiting, 0.0),
            "waiting_s": waiting,
            "evaluation_s": evaluating,
            **saved,
        }

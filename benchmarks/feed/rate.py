"""How many rows a second come out of any feed, and when the first batch does."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import psutil
import torch.distributed as dist

WHOLE_S = 4.0
"""A feed is watched for at least so long after its first epoch, which is counted by itself."""


def measure_rate(
    epoch: Callable[[int], Iterable[Any]], batch_size: int, *, began: float, root: int
) -> dict[str, float]:
    """Take whole epochs, in all ranks of torch's process group if there is one.

    Args:
        epoch: Yields this rank's batches of the epoch with a number, from 1 on.
        batch_size: Rows of one batch of this rank.
        began: Time of the start of the whole measurement, in seconds since the Unix epoch.
        root: The process that has started all others of the measurement.

    Returns:
        `rows` of an epoch over all ranks; `first_batch_s` from the start; `first_rows_per_s`, of the first epoch;
        `rows_per_s`, of those after it, and `cpu_us`, the processor time of all processes for each row of those.
    """
    asked = time.time()
    batches = iter(epoch(1))
    next(batches)
    first = time.time()
    rows = sum(_of_all(batch_size * (1 + sum(1 for _ in batches))))
    first_s = max(_of_all(time.time() - asked))
    later_rows, seconds, number, start, cpu = 0.0, 0.0, 1, time.perf_counter(), _cpu_s(root)
    while seconds < WHOLE_S:
        number += 1
        later_rows += sum(_of_all(batch_size * sum(1 for _ in epoch(number))))
        seconds = max(_of_all(time.perf_counter() - start))
    return {
        "rows": rows,
        "first_batch_s": max(_of_all(first - began)),
        "first_rows_per_s": rows / first_s,
        "rows_per_s": later_rows / seconds,
        "cpu_us": 1e6 * (_cpu_s(root) - cpu) / later_rows,
    }


def _cpu_s(root: int) -> float:
    """Return the processor time of a process and all that it has started."""
    total = 0.0
    for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _of_all(value: float) -> list[float]:
    """Return the values of all ranks."""
    if not dist.is_initialized():
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found

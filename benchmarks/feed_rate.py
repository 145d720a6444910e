"""How many rows a second come out of any feed."""

import time
from collections.abc import Callable, Iterable
from typing import Any

WHOLE_S = 4.0
"""A feed is watched for at least so long after its first epoch, which is not counted."""


def measure_rate(epoch: Callable[[int], Iterable[Any]], batch_size: int) -> dict[str, float]:
    """`rows` of an epoch and `rows_per_s`; `epoch` yields the batches of the epoch with a number, from 1 on."""
    rows = batch_size * sum(1 for _ in epoch(1))
    began, number = time.perf_counter(), 1
    while (seconds := time.perf_counter() - began) < WHOLE_S:
        number += 1
        for _ in epoch(number):
            pass
    return {"rows": rows, "rows_per_s": rows * (number - 1) / seconds}

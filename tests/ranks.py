"""Collectives for tests: the ranks are threads of one process."""

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Ranks:
    """Collectives of one rank; the ranks are threads that meet at a barrier."""

    def __init__(self, rank: int, world_size: int, slots: list[Any], barrier: threading.Barrier) -> None:
        self.rank = rank
        self.world_size = world_size
        self._slots = slots
        self._barrier = barrier

    def sum(self, tensor: Tensor) -> Tensor:
        return torch.stack(self._exchange(tensor)).sum(dim=0)

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        return self.gather(tensor)

    def gather(self, tensor: Tensor) -> Tensor:
        return torch.cat(self._exchange(tensor))

    def counts(self, count: int) -> list[int]:
        return self._exchange(count)

    def gather_values(self, value: Any) -> list[Any]:
        return self._exchange(value)

    def broadcast(self, value: Any) -> Any:
        return self._exchange(value)[0]

    def _exchange(self, value: Any) -> list[Any]:
        self._slots[self.rank] = value
        self._barrier.wait(timeout=60)
        values = list(self._slots)
        self._barrier.wait(timeout=60)
        return values


def run_ranks(world_size: int, body: Callable[[Ranks], Any]) -> list[Any]:
    """The results of `body` on each rank; the first error of a rank is raised."""
    slots, barrier = [None] * world_size, threading.Barrier(world_size)
    results: list[Any] = [None] * world_size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            with torch.no_grad():
                results[rank] = body(Ranks(rank, world_size, slots, barrier))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def solo() -> Ranks:
    """Collectives of a single process."""
    return Ranks(0, 1, [None], threading.Barrier(1))

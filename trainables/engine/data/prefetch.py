"""Prefetching: the next items are made in threads while the training step runs."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    depth: int,
    weigh: Callable[[Item], int] = lambda item: 1,
) -> Generator[Result, None, None]:
    """Map in order with several threads. Close the generator, or drop it, if you stop early.

    Args:
        function: Called in the threads.
        items: Arguments, read as far as needed.
        threads: Number of threads.
        depth: Most results ahead of the one last yielded, by their weights; one for each thread in any case.
        weigh: Weight of an item's result.
    """
    waiting: deque[tuple[Future[Result], int]] = deque()
    ahead = 0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append((pool.submit(function, item), weigh(item)))
                ahead += waiting[-1][1]
                while ahead > depth and len(waiting) > threads:
                    future, weight = waiting.popleft()
                    ahead -= weight
                    yield future.result()
                    del future
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()


class read_ahead(AbstractContextManager[Iterator[Any]]):  # noqa: N801
    """Context manager that runs an iterator in a thread, at most `depth` items ahead.

    Use: `with read_ahead(items, depth=2) as ready`.
    """

    def __init__(self, items: Iterator[Any], depth: int):
        self._items, self._queue = items, queue.Queue(maxsize=depth)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._fill, daemon=True)

    def __enter__(self) -> Iterator[Any]:
        self._thread.start()
        return self._drain()

    def __exit__(self, *_: object) -> None:
        self._is_closed.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _fill(self) -> None:
        try:
            for item in self._items:
                self._queue.put(("item", item))
                if self._is_closed.is_set():
                    return
            self._queue.put(("end", None))
        except BaseException as error:
            self._queue.put(("error", error))

    def _drain(self) -> Iterator[Any]:
        while True:
            kind, value = self._queue.get()
            if kind == "item":
                yield value
            elif kind == "end":
                return
            else:
                raise value

"""Prefetching: the next items are made in threads while the training step runs."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
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

    `function` is called in the threads, and `items` are read as far as needed. By their weights, at most `depth`
    results are ahead of the one last yielded; one for each thread in any case.
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


@contextmanager
def read_ahead(items: Iterator[Any], depth: int) -> Iterator[Iterator[Any]]:
    """Run an iterator in a thread inside the block, at most `depth` items ahead; yields an iterator over its items."""
    waiting, is_closed = queue.Queue(maxsize=depth), threading.Event()
    thread = threading.Thread(target=_fill, args=(items, waiting, is_closed), daemon=True)
    thread.start()
    try:
        yield _drain(waiting)
    finally:
        is_closed.set()
        while thread.is_alive():
            with suppress(queue.Empty):
                waiting.get(timeout=0.05)


def _fill(items: Iterator[Any], waiting: queue.Queue, is_closed: threading.Event) -> None:
    try:
        for item in items:
            waiting.put(("item", item))
            if is_closed.is_set():
                return
        waiting.put(("end", None))
    except BaseException as error:
        waiting.put(("error", error))


def _drain(waiting: queue.Queue) -> Iterator[Any]:
    while True:
        kind, value = waiting.get()
        if kind == "item":
            yield value
        elif kind == "end":
            return
        else:
            raise value

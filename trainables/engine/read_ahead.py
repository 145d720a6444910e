"""Reading ahead: the next batches are made in a thread while the training step runs."""

import queue
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any


class read_ahead(AbstractContextManager[Iterator[Any]]):  # noqa: N801
    """Runs an iterator in a thread, at most `depth` items ahead: `with read_ahead(items, depth=2) as ready`."""

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

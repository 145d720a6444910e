"""Faults of a server, switched on and off while requests come in."""

import threading
from dataclasses import dataclass


@dataclass
class Fault:
    """What happens to a class of requests, for the next `times` of them (`None`: to all)."""

    on: str
    """`graphql`, `filestream`, `files`, the name of a GraphQL operation, or empty for all."""
    status: int = 0
    delay: float = 0.0
    hangs: bool = False
    times: int | None = None

    def fits(self, kind: str, operation: str) -> bool:
        """Whether a request is of the class."""
        return self.on in ("", kind, operation)


class ConnectionCutError(Exception):
    """The connection is to be closed without an answer."""


class _Waiting(threading.Event):
    is_cut = False


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._waiting = _Waiting()

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Lift all; requests that hang are answered now."""
        with self._lock:
            self._faults.clear()
        self._release(is_cut=False)

    def cut(self) -> None:
        """End requests that hang without an answer; the faults stay in force."""
        self._release(is_cut=True)

    def meet(self, kind: str, operation: str) -> int:
        """Let a request suffer what is in force for it; returns the status to answer with, 0 for the true answer.

        Raises:
            ConnectionCutError: the request hung and is not to be answered at all.
        """
        fault, waiting = self._take(kind, operation)
        if fault is None:
            return 0
        if fault.hangs or fault.delay:
            waiting.wait(None if fault.hangs else fault.delay)
            if waiting.is_cut:
                raise ConnectionCutError
        return fault.status

    def _take(self, kind: str, operation: str) -> tuple[Fault | None, _Waiting]:
        with self._lock:
            fault = next((fault for fault in self._faults if fault.fits(kind, operation)), None)
            if fault and fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
            return fault, self._waiting

    def _release(self, *, is_cut: bool) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, _Waiting()
        waiting.is_cut = is_cut
        waiting.set()

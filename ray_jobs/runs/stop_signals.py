"""Signals in a training, such as SIGTERM and Ctrl-C: the first asks for a checkpoint and the end, the second ends."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from data_pipelines.storage.folder import Folder
from ray_jobs.exit_codes import STOPPED, TERMINATED
from trainables.engine.process.stop_request import request_stop, withdraw_request

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""SIGHUP: the terminal was closed; a process that ignores it, as under nohup, goes on doing so. Batch systems announce
the end of the time that was asked for by SIGUSR1, SIGUSR2 or SIGXCPU."""


class StopSignals:
    """Signals received while a training runs; `ask` requests the training's stop, given the name of the signal."""

    def __init__(self, ask: Callable[[str], None]):
        self._ask = ask
        self.received: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of what was stopped: by Ctrl-C or a request without a signal, or by another signal."""
        return STOPPED if self.received in (None, signal.SIGINT) else TERMINATED

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Turn the first signal into a request that the workers find at their next report; exit on the second."""
        heard = signal.Signals(number)
        if self.received is not None:
            raise KeyboardInterrupt if heard == signal.SIGINT else SystemExit(128 + heard)
        self.received = heard
        # not print: the signal may have come in the middle of one
        with suppress(OSError):  # the terminal may be closed
            os.write(2, f"{heard.name}: saving a checkpoint, then the run ends; once more ends it at once\n".encode())
        self._ask(heard.name)


@contextmanager
def stopping_on_signals(folder: Folder) -> Iterator[StopSignals]:
    """Request a stop of the training in `folder` on a signal inside the block; withdraws earlier requests."""
    withdraw_request(folder)
    try:
        with handle_signals(lambda who: request_stop(folder, who)) as signals:
            yield signals
    finally:
        withdraw_request(folder)


@contextmanager
def handle_signals(ask: Callable[[str], None]) -> Iterator[StopSignals]:
    """Call `ask` with the name of the first signal inside the block.

    Enter the block after Ray was started, which sets a handler of its own. In threads other than the main one no
    signal is handled.
    """
    signals = StopSignals(ask)
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    is_left = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    asking = [number for number in ASKING if not (number == signal.SIGHUP and is_left)]
    before = {number: signal.signal(number, signals.on_signal) for number in asking}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The driver's hold on a mirror process: start it, wake it, hear it, end it; no call waits, but for the last."""

import json
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import LATER
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.mirror_launcher import MirrorProcess, start_alone
from ray_jobs.tracking.wandb_session import GRACE_S

RESTARTS = 3
PAUSE_S = 10.0
"""A mirror that died is started again, at most so often, and not sooner than so long after its last start."""

Log = Callable[..., None]
Start = Callable[[Sequence[str]], MirrorProcess]


class MirrorHandle:
    """A mirror of one run. What it says goes to `log` when the driver calls `wake` or `finish`, on its own thread.

    A process that cannot be started is said there too, and that is all.
    """

    def __init__(
        self,
        folder: Folder,
        tracking: Tracking,
        log: Log,
        *,
        options: tuple[str, ...] = (),
        start: Start = start_alone,
    ):
        self._tracking, self._log = tracking, log
        self._start_process, self._arguments = start, (folder.uri, *options)
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._restarts_left = RESTARTS
        self._has_warned = False
        self._deadline = math.inf
        self.sent: dict[str, int] = {}
        """What the mirror says it has sent, when it has ended."""
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        try:
            self._process = self._start_process(self._arguments)
        except OSError as error:
            self._process = None
            self._log(f"W&B is off: its process cannot be started ({error}); {LATER}", level="WARNING")
            return
        os.set_blocking(self._process.stdin.fileno(), False)
        self._reader = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _listen(self, stream: Any) -> None:
        for line in stream:
            with suppress(ValueError):
                self._messages.put(json.loads(line))

    def notify(self) -> None:
        """There is something new in the record."""
        self._drain()
        if self._process is None or self._deadline < math.inf:
            return  # there is none, or it was told that the run has ended
        if self._process.stdin.closed:
            self._restart(self._process)
            return
        try:
            os.write(self._process.stdin.fileno(), b"\n")
        except BlockingIOError:
            pass  # it has many wakes to come
        except OSError:
            self._restart(self._process)

    def _restart(self, process: MirrorProcess) -> None:
        """The process is gone; too soon for another, a later wake looks again. It ends by itself, with a warning of its
        own, when W&B cannot be used."""
        code = self._end(process)
        if code >= 0 or not self._restarts_left or time.monotonic() - self._started < PAUSE_S:
            return
        self._restarts_left -= 1
        self._log(f"the mirror of the run was killed (signal {-code}); another goes on", level="WARNING")
        self._start()

    def _drain(self) -> None:
        while True:
            try:
                message = self._messages.get_nowait()
            except queue.Empty:
                return
            self.sent = message.get("sent", self.sent)
            if "info" in message:
                self._log(message["info"])
            self._has_warned |= "warning" in message
            if "warning" in message:
                self._log(message["warning"], level="WARNING")

    def close(self) -> None:
        """The run has ended; from now on the time runs in which W&B must have all of it."""
        if self._process is None:
            return
        with suppress(OSError):
            self._process.stdin.close()
        patience = self._tracking.init_timeout_s + self._tracking.finish_timeout_s + 2 * GRACE_S
        self._deadline = min(self._deadline, time.monotonic() + patience)

    def finish(self) -> int:
        """Wait, within the bound, until W&B has all of the run; returns the mirror's exit code, 1 without a mirror."""
        if self._process is None:
            return 1
        self.close()
        self._reader.join(max(self._deadline - time.monotonic(), 0.0))
        is_late = self._reader.is_alive()
        code = self._end(self._process)
        self._drain()
        if is_late and not self._has_warned:  # it may just have said so itself
            self._log(f"W&B did not end in time and is left; {LATER}", level="WARNING")
            self._has_warned = True
        if code and not self._has_warned and not self.sent:
            self._log(f"the mirror of the run to W&B failed (exit code {code}); {LATER}", level="WARNING")
        return code

    def _end(self, process: MirrorProcess) -> int:
        """End the process and what it has left behind; returns its exit code."""
        code = process.end()
        self._reader.join(timeout=5.0)
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream.close()
        return code

"""The driver's hold on a mirror process: start it, wake it, hear it, end it; no call waits, but for the last."""

import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ray_jobs.tracking.config import Tracking
from ray_jobs.tracking.names import LATER
from ray_jobs.tracking.session import GRACE_S
from trainables.storage import Folder

RESTARTS = 3
PAUSE_S = 10.0
"""A mirror that died is started again, at most so often, and not sooner than so long after its last start."""

Log = Callable[..., None]


class MirrorHandle:
    """A mirror of one run. What it says goes to `log` when the driver calls `wake` or `finish`, on its own thread."""

    def __init__(self, folder: Folder, tracking: Tracking, log: Log, *, arguments: tuple[str, ...] = ()):
        self._folder, self._tracking, self._log, self._arguments = folder, tracking, log, arguments
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._restarts_left = RESTARTS
        self._has_warned = False
        self._deadline = math.inf
        self.sent: dict[str, int] = {}
        """What the mirror says it has sent, when it has ended."""
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ray_jobs.tracking.mirror_main", self._folder.uri, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self._process.stdin and self._process.stdout
        os.set_blocking(self._process.stdin.fileno(), False)
        self._reader = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _listen(self, stream: Any) -> None:
        for line in stream:
            with suppress(ValueError):
                self._messages.put(json.loads(line))

    def wake(self) -> None:
        """There is something new in the record."""
        self._drain()
        assert self._process.stdin
        if self._process.stdin.closed:
            return  # it has ended
        try:
            os.write(self._process.stdin.fileno(), b"\n")
        except BlockingIOError:
            pass  # it has many wakes to come
        except OSError:
            self._restart()

    def _restart(self) -> None:
        """The process is gone. It ends by itself, with a warning of its own, when W&B cannot be used."""
        code = self._end()
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
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()
        patience = self._tracking.init_timeout_s + self._tracking.finish_timeout_s + 2 * GRACE_S
        self._deadline = min(self._deadline, time.monotonic() + patience)

    def finish(self) -> int:
        """Wait, within the bound, until W&B has all of the run; returns the mirror's exit code."""
        self.close()
        try:
            self._process.wait(max(self._deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self._log(f"W&B did not end in time and is left; {LATER}", level="WARNING")
            self._has_warned = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # and what it has left behind
        code = self._end()
        self._drain()
        if code and not self._has_warned:
            self._log(f"the mirror of the run to W&B failed (exit code {code}); {LATER}", level="WARNING")
        return code

    def _end(self) -> int:
        """Close what leads to a process that is gone; returns its exit code."""
        code = self._process.wait()
        self._reader.join(timeout=5.0)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with suppress(OSError):
                stream.close()
        return code

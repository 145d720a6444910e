"""The driver's handle of a mirror process: start, notify, log its messages, finish; only `finish` blocks."""

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
"""A mirror that was killed is restarted at most RESTARTS times, and no sooner than PAUSE_S after its last start."""

Log = Callable[..., None]
Start = Callable[[Sequence[str]], MirrorProcess]


class MirrorHandle:
    """Handle of one run's mirror.

    Messages of the mirror are logged when the driver calls `notify` or `finish`, on the caller's thread. A process that
    cannot be started is logged too, and nothing is raised.

    Args:
        folder: The run's folder.
        tracking: Its timeouts bound `finish`.
        log: Logs a message; takes `level="WARNING"`.
        options: Arguments of the mirror process after the folder.
        start: Starts the mirror process.
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
        """Counts of what the mirror has sent, once the mirror has reported them at its end."""
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
        """Wake the mirror, as the record has grown; restart it if it was killed."""
        self._drain()
        if self._process is None or self._deadline < math.inf:
            return  # there is no process, or its input is closed: the run has ended
        if self._process.stdin.closed:
            self._restart(self._process)
            return
        try:
            os.write(self._process.stdin.fileno(), b"\n")
        except BlockingIOError:
            pass  # the pipe is full: the mirror has many wakes to come
        except OSError:
            self._restart(self._process)

    def _restart(self, process: MirrorProcess) -> None:
        """Start another mirror in place of one that was killed, within `RESTARTS` and `PAUSE_S`.

        When it is too soon, a later `notify` tries again. A mirror that ended by itself, as it does with a warning of
        its own when W&B cannot be used, is not restarted.
        """
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
        """Close the mirror's input, as the run has ended, and set the deadline by which W&B must have all of it."""
        if self._process is None:
            return
        with suppress(OSError):
            self._process.stdin.close()
        patience = self._tracking.init_timeout_s + self._tracking.finish_timeout_s + 2 * GRACE_S
        self._deadline = min(self._deadline, time.monotonic() + patience)

    def finish(self) -> int:
        """Wait until W&B has all of the run, or the deadline; returns the mirror's exit code, 1 without a mirror."""
        if self._process is None:
            return 1
        self.close()
        self._reader.join(max(self._deadline - time.monotonic(), 0.0))
        is_late = self._reader.is_alive()
        code = self._end(self._process)
        self._drain()
        if is_late and not self._has_warned:  # the mirror may just have reported it itself
            self._log(f"W&B did not end in time and is left; {LATER}", level="WARNING")
            self._has_warned = True
        if code and not self._has_warned and not self.sent:
            self._log(f"the mirror of the run to W&B failed (exit code {code}); {LATER}", level="WARNING")
        return code

    def _end(self, process: MirrorProcess) -> int:
        """End the process and its group, and close its streams; returns its exit code."""
        code = process.end()
        self._reader.join(timeout=5.0)
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream.close()
        return code

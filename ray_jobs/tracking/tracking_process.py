"""The process that holds all W&B runs of a driver, as the driver starts it, writes to it and ends it."""

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, Literal

RESTARTS = 1
"""Times that a driver starts another process in place of one that died."""
CORE_LOST = 3
"""Exit code of a process whose W&B service, which holds its runs, has died."""
LEAVE_S = 5.0
"""Seconds that a process has to leave after its last run has ended."""
Mode = Literal["online", "offline"]
Messages = queue.SimpleQueue[Any]
"""What a process says of one run: pairs of the process and a message."""


class Tracker:
    """Tracking of all runs of a driver in one process, which is started with the first of them.

    A process has one mode. W&B cannot begin a run anew in a process in which it could not begin it, so runs that it
    does not take online go on in a second process, offline, which is started when the first of them needs it.
    """

    def __init__(self) -> None:
        self._processes: dict[Mode, TrackingProcess] = {}
        self._restarts_left = RESTARTS
        self.run_numbers = itertools.count()

    def process(self, mode: Mode, dead: "TrackingProcess | None" = None) -> "TrackingProcess | None":
        """Return the process of a mode, and in place of a dead one another, or None after the last. Raises OSError."""
        found = self._processes.get(mode)
        if found is not None and found is not dead:
            return found
        if dead is not None:
            if not self._restarts_left:
                return None
            self._restarts_left -= 1
            dead.close()
        self._processes[mode] = TrackingProcess(mode)
        return self._processes[mode]

    def close(self) -> None:
        """End the processes; what has not ended by now is left."""
        for process in self._processes.values():
            process.close()


class TrackingProcess:
    """Process `python -m ray_jobs.tracking.process_main MODE`. Raises OSError when it cannot be started."""

    def __init__(self, mode: Mode):
        self.mode: Mode = mode
        self._lock = threading.Lock()
        self._exit_code: int | None = None
        self._runs: dict[int, Messages] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ray_jobs.tracking.process_main", mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self._process.stdin is not None
        self.pid, self._stdin = self._process.pid, self._process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                message = json.loads(line)
                self._runs[message["run"]].put((self, message))
        code = self._process.wait()
        with self._lock:
            self._exit_code = code
            for messages in self._runs.values():
                messages.put((self, {"gone": code}))

    def open(self, run: int, messages: Messages, request: dict[str, Any]) -> None:
        """Ask for a mirror of a run, and put all that is said of it in `messages`, last of all the process's end."""
        with self._lock:
            self._runs[run] = messages
            if self._exit_code is not None:
                messages.put((self, {"gone": self._exit_code}))
        self.send(run, open=request)

    def send(self, run: int, **message: Any) -> None:
        """Write one line without waiting: a full pipe holds wakes enough, and that one is broken is said by `open`."""
        with suppress(OSError, ValueError):
            os.write(self._stdin.fileno(), (json.dumps({"run": run, **message}) + "\n").encode())

    def close(self) -> None:
        """Close the input, give the process a moment to leave, and end it; W&B's service ends with it."""
        with suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(LEAVE_S)

"""The driver's handle of the mirror of a run: start, notify, log its messages, finish; only `finish` blocks."""

import math
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import LATER
from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.tracking_process import CORE_LOST, Mode, Tracker, TrackingProcess
from ray_jobs.tracking.wandb_environment import OFF, mode_of
from ray_jobs.tracking.wandb_session import GRACE_S

Log = Callable[..., None]


class MirrorHandle:
    """Handle of one run's mirror in a tracking process.

    Messages of the mirror are logged when the driver calls `notify` or `finish`, on the caller's thread. Nothing that
    happens to the process is raised: a run that is lost goes on in another process, or is given up with one warning.
    `tracker` gives the process, the timeouts of `tracking` bound `finish`, and `log` takes `level="WARNING"`. The mode
    is by default that of the settings, or else of WANDB_MODE. `is_sync` sends what is there, and refuses a run that
    another process mirrors.
    """

    def __init__(
        self,
        tracker: Tracker,
        folder: Folder,
        tracking: Tracking,
        log: Log,
        *,
        mode: Mode | None = None,
        is_sync: bool = False,
    ):
        self._tracker, self._log = tracker, log
        self._run, self._messages = next(tracker.run_numbers), queue.SimpleQueue()
        self._request = {"folder": folder.uri, "is_sync": is_sync}
        self._patience = tracking.init_timeout_s + tracking.finish_timeout_s + 2 * GRACE_S
        self.process: TrackingProcess | None = None
        self._code: int | None = None
        self._deadline = math.inf
        self.sent: dict[str, int] = {}
        """Counts of what the mirror has sent, once the mirror has reported them at its end."""
        self._start(mode or ("offline" if mode_of(tracking) == "offline" else "online"))

    def _start(self, mode: Mode, lost: str = "", dead: TrackingProcess | None = None) -> None:
        try:
            self.process = self._tracker.process(mode, dead)
        except OSError as error:
            self._give_up(f"W&B is off: its process cannot be started ({error})")
            return
        if self.process is None:
            self._give_up(f"W&B is off: {lost}, and one has been started again before")
            return
        self.process.open(self._run, self._messages, {**self._request, "lost": lost})
        if self._deadline < math.inf:
            self._deadline = math.inf
            self.close()

    def notify(self) -> None:
        """Wake the mirror, as the record has grown."""
        while self._take_message(0.0):
            pass
        if self.process is not None and self._code is None and self._deadline == math.inf:
            self.process.send(self._run, wake=True)

    def close(self) -> None:
        """Tell the mirror that the run has ended, and set the deadline by which W&B must have all of it."""
        if self.process is not None and self._deadline == math.inf:
            self.process.send(self._run, close=True)
            self._deadline = time.monotonic() + self._patience

    def finish(self) -> int:
        """Wait until W&B has all of the run, or the deadline; returns 0 when W&B took all of it."""
        self.close()
        while self._code is None:
            if not self._take_message(max(self._deadline - time.monotonic(), 0.0)):
                self._give_up("W&B did not end in time and is left")
        return self._code

    def _take_message(self, timeout: float) -> bool:
        """Act on one message; returns whether there was one within `timeout` seconds."""
        try:
            process, message = self._messages.get(block=timeout > 0.0, timeout=timeout)
        except queue.Empty:
            return False
        if process is self.process and self._code is None:
            self._act(process, message)
        return True

    def _act(self, process: TrackingProcess, message: dict[str, Any]) -> None:
        self.sent = message.get("sent", self.sent)
        self._code = message.get("ended")
        if "info" in message:
            self._log(message["info"])
        if "warning" in message:
            self._log(message["warning"], level="WARNING")
        if "lost" in message:
            self._start("offline", message["lost"])
        if "gone" in message:
            self._start(process.mode, _describe_end(message["gone"]), process)

    def _give_up(self, words: str) -> None:
        self._code = 1
        self._log(f"{words}; {LATER}", level="WARNING")


def _describe_end(code: int) -> str:
    if code == CORE_LOST:
        return "its background process ended"
    return f"its process was killed (signal {-code})" if code < 0 else f"its process ended (exit code {code})"


def is_on(tracking: Tracking, log: Callable[[str], None]) -> bool:
    """Return whether W&B gets anything; a variable that turns it off is logged."""
    if tracking.wandb and mode_of(tracking) == "disabled":
        log(OFF)
        return False
    return tracking.wandb


@contextmanager
def mirror_run(experiment: Experiment, record: RunRecorder) -> Iterator[MirrorHandle | None]:
    """Yield a mirror of one run, which the block notifies after each report; None when tracking is off."""
    if not is_on(experiment.tracking, record.log):
        yield None
        return
    with closing(Tracker()) as tracker:
        mirror = MirrorHandle(tracker, record.folder, experiment.tracking, record.log)
        try:
            yield mirror
        finally:
            mirror.finish()

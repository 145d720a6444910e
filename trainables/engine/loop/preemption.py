"""Interruptions of a training: a request to stop, the announced end of a machine, a checkpoint that is due by time."""

import time

from trainables.engine.loop.worker_context import WorkerContext
from trainables.engine.loop.worker_reporter import WorkerReporter
from trainables.engine.process.stop_request import find_request


class Interruption:
    """State of interruptions, the same on all ranks. All kinds save a checkpoint; only a request ends the training."""

    def __init__(self, worker: WorkerContext, reporter: WorkerReporter, save_every_s: float | None = None):
        """Begin to count the time; checkpoints are due every `save_every_s` seconds, if it is given."""
        self._worker, self._reporter, self._save_every_s = worker, reporter, save_every_s
        self._saved_at = time.monotonic()
        self.stopped_by: str | None = None
        self.notice: str | None = None
        self._is_late = False

    @property
    def saves(self) -> bool:
        """Whether a checkpoint is to be saved now."""
        return self.is_urgent or self._is_late

    @property
    def is_urgent(self) -> bool:
        """Whether a checkpoint must be complete before the training goes on, because its process may end."""
        return bool(self.stopped_by or self.notice)

    def note_saved(self) -> None:
        """Count the time from now on, when a checkpoint has been saved."""
        self._saved_at = time.monotonic()

    def poll(self, *, is_finished: bool) -> None:
        """Check for a request and a notice; all ranks call it. A training that is finished anyway is not stopped."""
        collectives = self._worker.collectives
        request = find_request(self._worker.folder) if collectives.rank == 0 else None
        is_late = self._save_every_s is not None and time.monotonic() - self._saved_at >= self._save_every_s
        self.stopped_by, self._is_late = collectives.broadcast((None if is_finished else request, is_late))
        if self.stopped_by:
            self._reporter.set_stopped_by(self.stopped_by)
        notice = self._worker.preemption_notice()
        if notice and notice != self.notice:
            self._reporter.log([f"{notice}; until then every report saves a checkpoint"])
        self.notice = notice

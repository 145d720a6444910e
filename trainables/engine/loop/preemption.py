"""Interruptions of a training from outside: a request to stop, or the announced end of a machine."""

from trainables.engine.loop.worker_context import WorkerContext
from trainables.engine.loop.worker_reporter import WorkerReporter
from trainables.engine.process.stop_request import find_request


class Interruption:
    """State of interruptions, the same on all ranks. Both kinds save a checkpoint; only a request ends the training."""

    def __init__(self, worker: WorkerContext, reporter: WorkerReporter):
        self._worker, self._reporter = worker, reporter
        self.stopped_by: str | None = None
        self.notice: str | None = None

    def poll(self, *, is_finished: bool) -> None:
        """Check for a request and a notice; all ranks call it. A training that is finished anyway is not stopped."""
        collectives = self._worker.collectives
        request = find_request(self._worker.folder) if collectives.rank == 0 else None
        self.stopped_by = collectives.broadcast(None if is_finished else request)
        if self.stopped_by:
            self._reporter.set_stopped_by(self.stopped_by)
        notice = self._worker.preemption_notice()
        if notice and notice != self.notice:
            self._reporter.log([f"{notice}; until then every report saves a checkpoint"])
        self.notice = notice

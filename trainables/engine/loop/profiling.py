"""Profile of some steps by torch's profiler: a trace for a viewer, and a table of the costliest operations."""

import gzip
import tempfile
from pathlib import Path

from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile

from trainables.contract.panels import TablePanel
from trainables.contract.training_config import Profile
from trainables.engine.loop.worker_context import WorkerContext
from trainables.run_paths import step_name

PROFILES = "profiles"
NUM_SHOWN = 30
COLUMNS = ("operation", "calls", "own CPU ms", "CPU ms", "own GPU ms", "GPU ms")


class StepProfiler:
    """Profiler of the steps that the settings name, on rank 0; elsewhere, and without settings, it does nothing.

    A run that is resumed behind the first of the steps profiles none. The trace is written to the run's `profiles`.
    """

    def __init__(self, settings: Profile | None, worker: WorkerContext, num_steps: int):
        """Raise ValueError when the steps are not among the `num_steps` of the run."""
        if settings is not None and settings.last > num_steps:
            raise ValueError(f"`training.profile.steps` is {settings.steps}, and the run has {num_steps} steps")
        self._settings, self._folder = settings if worker.collectives.rank == 0 else None, worker.folder
        self._activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if worker.device.type == "cuda" else [])]
        self._running: profile | None = None

    def before(self, step: int) -> None:
        """Begin with the first of the steps, counted from 1."""
        if self._settings is not None and step == self._settings.first:
            self._running = profile(activities=self._activities)
            self._running.start()

    def after(self, step: int) -> tuple[TablePanel, str] | None:
        """End with the last of the steps; returns the table, and a line that names the trace."""
        if self._running is None or self._settings is None or step < self._settings.last:
            return None
        self._running.stop()
        found, self._running = self._running, None
        name = f"{PROFILES}/{step_name(step)}.json.gz"
        with tempfile.TemporaryDirectory(prefix="quintet-") as temporary:
            file = Path(temporary) / "trace.json"
            found.export_chrome_trace(str(file))
            self._folder.write(name, gzip.compress(file.read_bytes(), mtime=0))
        words = f"profiled the steps {self._settings.steps}: {name}, for ui.perfetto.dev or chrome://tracing"
        return _tabulate(found), words


def _tabulate(found: profile) -> TablePanel:
    events = sorted(found.key_averages(), key=_own_time, reverse=True)[:NUM_SHOWN]
    times = ("self_cpu_time_total", "cpu_time_total", "self_device_time_total", "device_time_total")
    rows = [[event.key, event.count, *(round(getattr(event, name) / 1000, 3) for name in times)] for event in events]
    return TablePanel("profile/operations", COLUMNS, rows)


def _own_time(event: FunctionEventAvg) -> float:
    return event.self_device_time_total or event.self_cpu_time_total

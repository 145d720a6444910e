"""Heartbeat of a run: a small file with the time, the step and the state, by which a silent run is seen."""

import time
from datetime import UTC, datetime
from typing import Literal

from data_pipelines.storage.folder import Folder
from ray_jobs.console import format_duration

HEARTBEAT = "heartbeat.json"
BEAT_S = 15.0
"""Least seconds between two beats of one state."""
SILENT_S = 600.0
"""Seconds without a report after which a run that is held by a process counts as silent."""

State = Literal["running", "stopped", "finished", "ended"]


class Heartbeat:
    """Writer of the heartbeat, whose cost does not depend on how often it beats, nor on the length of the run."""

    def __init__(self, folder: Folder):
        self._folder = folder
        self._state: State | None = None
        self._written = 0.0

    def beat(self, step: int, state: State) -> None:
        """Write the file, unless it was written just now with the same state."""
        now = time.monotonic()
        if state == self._state and now - self._written < BEAT_S:
            return
        self._state, self._written = state, now
        time_now = datetime.now(UTC).isoformat(timespec="seconds")
        self._folder.write_json(HEARTBEAT, {"time": time_now, "step": step, "state": state})


def find_silence(folder: Folder) -> str | None:
    """Return in words for how long a run has reported nothing; None when it is not silent or has ended."""
    try:
        beat = folder.read_json(HEARTBEAT)
        seconds = (datetime.now(UTC) - datetime.fromisoformat(beat["time"])).total_seconds()
        step, is_running = int(beat["step"]), beat["state"] == "running"
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return None
    return (
        f"no report for {format_duration(seconds)}, since step {step:,}" if is_running and seconds > SILENT_S else None
    )

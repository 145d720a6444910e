"""Tail of a run's record on disk, from any step on: what a tracker is sent next.

The record is the queue: nothing is passed in memory, so the reader may be slow, die, or begin years later.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.record_file import RecordFile
from ray_jobs.run_folder.run_recorder import EVENTS, METRICS
from trainables.engine.files.history import Row
from trainables.run_paths import step_of

Event = dict[str, Any]


@dataclass
class Update:
    """Record of one optimiser step."""

    step: int
    epoch: int
    time: float
    """Seconds since the epoch, when the step was reported."""
    ends_epoch: bool
    values: Row = field(default_factory=dict)
    panels: list[str] = field(default_factory=list)
    """Description files of pictures and tables, in the run's folder."""


class RecordTailer:
    """Tail of a run's record; `sent` is the last step that the tracker already has."""

    def __init__(self, folder: Folder, *, sent: int):
        self.sent = sent
        self._events = RecordFile(folder, EVENTS)
        self._lines = RecordFile(folder, METRICS)
        self._unread = self._lines.lines()
        self._next: Row | None = None
        self._last_read = sent
        self._waiting: set[str] = set()
        self._system: dict[str, float] = {}
        """Values since the last step that has a row; the first report of a start has none of its own."""

    def updates(self) -> Iterator[Update]:
        """Yield the steps reported since the last call, each once and in order, through restarts of the run."""
        for line in self._events.lines():
            event = json.loads(line)
            if "resumed_from" in event:
                self._lines.rewind()
                self._unread = self._lines.lines()
                self._system = {}
            if event["step"] >= self.sent:
                self._system.update(event.get("system", {}))
            self._waiting |= {name for name in event["panels"] if step_of(name) > self.sent}
            yield from self._until(event)

    def _until(self, event: Event) -> Iterator[Update]:
        while row := self._take_row(event["step"]):
            ends_epoch = row["step"] % event["steps_per_epoch"] == 0
            update = Update(int(row["step"]), int(row["epoch"]), event["time"], ends_epoch, row)
            if update.step == event["step"]:
                row.update(self._system)
                self._system = {}
            update.panels = self._take_panels(update.step)
            self.sent = update.step
            yield update

    def _take_panels(self, step: int) -> list[str]:
        due = sorted(name for name in self._waiting if step_of(name) <= step)
        self._waiting.difference_update(due)
        return due

    def _take_row(self, until: int) -> Row | None:
        """Return the next row, if its step is so far; rows are read one by one, as a record may be very long."""
        if self._next is None:
            self._next = self._read_row()
        if self._next is None and self._last_read < until:  # what was appended since the file was opened
            self._unread = self._lines.lines()
            self._next = self._read_row()
        if self._next is None or self._next["step"] > until:
            return None
        row, self._next = self._next, None
        return row

    def _read_row(self) -> Row | None:
        for line in self._unread:
            row = json.loads(line)
            if row["step"] > self._last_read:  # after a restart the same steps come again
                self._last_read = row["step"]
                return row
        return None

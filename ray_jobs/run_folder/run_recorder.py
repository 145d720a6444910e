"""Recorder of a run on disk: rows, events, tables, log, final metrics.

The recorder lives in the driver and applies the workers' reports. All that a tracker is sent is read from the record.
"""

import json
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.console import LogOnly, describe_plainly
from ray_jobs.run_folder.append_file import AppendFile
from ray_jobs.run_folder.heartbeat import Heartbeat, State
from ray_jobs.run_folder.log_lines import LOG_FORMATS, LogFormat
from ray_jobs.run_folder.record_file import read_record
from ray_jobs.run_folder.table_csv import TableFiles
from ray_jobs.terminal import print_text
from trainables.engine.files.history import last_step, read_until, to_lines
from trainables.engine.files.messages import WorkerReport
from trainables.run_paths import CHECKPOINTS, HISTORY, find_panels, load_aliases, step_of

METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
"""File with a line for each report of rank 0, through all starts: its time, position, speed and new files."""
LOG = "train.log"
CONFIG = "experiment.json"
ENVIRONMENT = "environment.json"
READ_ATTEMPTS = 20
FINAL = "final_metrics.json"

Describe = Callable[[WorkerReport], Sequence[str]]


class RunRecorder:
    """Recorder of a run, which applies reports in order.

    After any restart the rows are exactly those of the checkpoint that the run resumed from.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        describe: Describe = describe_plainly,
        prints: bool = True,
        log_format: LogFormat = "text",
    ):
        """Open the record in `folder`; `describe` makes lines for people from a report."""
        self.folder = folder
        self._describe = describe
        self.last: WorkerReport | None = None
        """The newest report."""
        self._prints = prints
        self._stamp = LOG_FORMATS[log_format]
        self._heartbeat = Heartbeat(folder)
        self._rows = AppendFile(folder, METRICS)
        self._events = AppendFile(folder, EVENTS)
        self._log = AppendFile(folder, LOG)
        self._tables = TableFiles(folder)
        self._kept: deque[bytes] = deque()

    def log(self, message: str, *, level: str = "INFO", prints: bool = True, can_wait: bool = False) -> None:
        """Add a line to `train.log`, and print the message."""
        self._kept.append(self._stamp(level, message))
        self._write(can_wait=can_wait)
        if self._prints and prints:
            print_text(message)

    def append_log(self, text: str) -> None:
        """Add Ray's output to `train.log` only; may be called from any thread.

        On storage without appending, the text waits for the next call of `log`.
        """
        self._kept.extend(self._stamp("RAY", line) for line in text.splitlines())
        if self.folder.is_local:
            self._write()

    def _write(self, *, can_wait: bool = False) -> None:
        content = b""
        while self._kept:
            content += self._kept.popleft()
        if content:
            self._log.append(content, can_wait=can_wait)

    def apply(self, report: WorkerReport) -> None:
        """Apply one report of rank 0."""
        panels = report["panels"]
        if "resumed_from" in report:
            panels = [*self._begin(report["resumed_from"], report.get("recorded_step")), *panels]
        for message in report["messages"]:
            self.log(message, level="WARNING")
        if report["rows"]:
            self._rows.append(to_lines(report["rows"]), can_wait=True)
        for line in self._describe(report):
            self.log(line, prints=not isinstance(line, LogOnly), can_wait=True)
        if "checkpoint" in report and "resumed_from" not in report:
            self.log(f"saved {report['checkpoint']}", prints=False, can_wait=True)
        for panel in report["panels"]:
            self._tables.append(panel)
        self._events.append(_to_event({**report, "panels": panels}), can_wait=True)
        if report["is_finished"] or not report.keys().isdisjoint(("resumed_from", "checkpoint", "stopped_by")):
            self.flush()
        self.last = report
        self._heartbeat.beat(report["step"], _state_of(report))
        if report["is_finished"]:
            self._finish(report)

    def flush(self) -> None:
        """Store the rows, events and lines that have waited, which they do only on object stores."""
        for file in (self._rows, self._events, self._log):
            file.flush()

    def close(self) -> None:
        """Store what has waited, each file as one; called when the run is left, whatever the cause."""
        self._write()
        for file in (self._rows, self._events, self._log, self._tables):
            file.close()
        if self.last and _state_of(self.last) == "running":  # it broke off
            self._heartbeat.beat(self.last["step"], "ended")

    def _begin(self, checkpoint: str | None, recorded_step: int | None) -> list[str]:
        """Restore the rows and tables of the checkpoint; returns its panels, as the report of some may be lost."""
        rows = b""
        if checkpoint and recorded_step != 0:
            rows = self._rows_until(step_of(checkpoint) if recorded_step is None else recorded_step)
        self._rows.replace(rows)
        known = find_panels(self.folder, until_step=step_of(checkpoint) if checkpoint else 0)
        self._tables.remake(known)
        if checkpoint:
            self.log(f"resumed from {self.folder}/{checkpoint}")
        return known

    def _rows_until(self, step: int) -> bytes:
        """Return the rows up to a checkpoint's step: its own, or the same ones from a later checkpoint.

        The workers do not wait for this process, and may have dropped that checkpoint for newer ones by now.
        """
        for _ in range(READ_ATTEMPTS):
            for name in self.folder.names(CHECKPOINTS):
                if step_of(name) < step:
                    continue
                try:
                    rows = read_until(self.folder.read(f"{CHECKPOINTS}/{name}/{HISTORY}"), step)
                except (OSError, EOFError, zlib.error):  # dropped just now, or damaged
                    continue
                if last_step(rows) == step:  # the rows of a checkpoint may end earlier, before an evaluation
                    return rows
        raise RuntimeError(f"{self.folder}/{CHECKPOINTS} holds no rows up to step {step}, from which the run goes on")

    def _finish(self, report: WorkerReport) -> None:
        aliases = load_aliases(self.folder)
        final: dict[str, Any] = {
            "run_id": PurePosixPath(self.folder.path).name,
            "epoch": report["epoch"],
            "step": report["step"],
            "metrics": report["metrics"],
            "best_model": aliases["best"] and f"models/{aliases['best']}",
            "best_metrics": {},
        }
        if final["best_model"]:
            final["best_metrics"] = self.folder.read_json(f"{final['best_model']}/metadata.json")["metrics"]
        self.folder.write_json(FINAL, final)


def find_last_row(folder: Folder, metric: str) -> dict[str, Any] | None:
    """Return the newest row of a run's record that has a metric; None when there is none."""
    name = json.dumps(metric).encode()
    for line in reversed(read_record(folder, METRICS).splitlines()):
        if name in line and metric in (row := json.loads(line)):
            return row
    return None


def _state_of(report: WorkerReport) -> State:
    return "finished" if report["is_finished"] else "stopped" if "stopped_by" in report else "running"


def _to_event(report: WorkerReport) -> bytes:
    """Return an event: the time, and the report without rows, metrics and messages, which other files hold."""
    left_out = ("rows", "newest_row", "metrics", "messages")
    event = {name: value for name, value in report.items() if name not in left_out}
    return (json.dumps({"time": round(time.time(), 3), **event}) + "\n").encode()

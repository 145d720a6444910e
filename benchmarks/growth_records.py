"""Records of made-up runs of any length, and what reading and writing them takes; measured by `growth`."""

import json
import math
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.report.report import write_report
from ray_jobs.run_folder.append_file import AppendFile
from ray_jobs.run_folder.record_reader import RecordTailer
from ray_jobs.run_folder.run_recorder import METRICS, RunRecorder
from trainables.engine.files.history import History, to_lines
from trainables.engine.files.messages import WorkerReport

ROWS_PER_REPORT = 50
SPEED = {"samples_per_s": 100.0, "step_s": 0.1, "data_wait_ratio": 0.01, "peak_memory_mib": 50.0}
SPEED |= {"computing_s": 1.0, "waiting_s": 0.0, "evaluation_s": 0.0}


def measure_resume(place: Path, count: int) -> float:
    """Return the seconds in which a run's record gets its rows back."""
    folder = Folder(str(place))
    history = History()
    for first in range(1, count + 1, ROWS_PER_REPORT):
        history.append(_rows(first, min(first + ROWS_PER_REPORT, count + 1)))
    checkpoint = f"checkpoints/step_{count:09d}"
    folder.write(f"{checkpoint}/history.jsonl.gz", history.content)
    recorder = RunRecorder(folder, prints=False)
    start = time.process_time()
    recorder.apply(_report(count, resumed_from=checkpoint))
    seconds = time.process_time() - start
    assert folder.read(METRICS).count(b"\n") == count
    return seconds


def measure_report(place: Path, count: int) -> float:
    """Return the seconds in which the page of a run is written."""
    folder = _make_run(place, count)
    start = time.process_time()
    write_report(str(folder), str(place / "report.html"), str(place))
    return time.process_time() - start


REPORT_PEAK = r"""
import re, sys
from ray_jobs.report.report import write_report
write_report(sys.argv[1], sys.argv[2] + "/report.html", sys.argv[2])
print(int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]) * 1024 / 1e6)
"""


def measure_report_memory(place: Path, count: int) -> float:
    """Return the megabytes that a process which writes the page of a run takes at its peak, with all its modules."""
    command = [sys.executable, "-c", REPORT_PEAK, str(_make_run(place, count)), str(place)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_sync(place: Path, count: int) -> float:
    """Return the seconds in which all rows are read for a tracker."""
    tailer = RecordTailer(_make_run(place, count), sent=0)
    start = time.process_time()
    assert sum(1 for _ in tailer.updates()) == count
    return time.process_time() - start


def measure_sync_memory(place: Path, count: int) -> float:
    """Return the megabytes of Python's objects at their peak, while all rows are read for a tracker."""
    tailer = RecordTailer(_make_run(place, count), sent=0)
    tracemalloc.start()
    assert sum(1 for _ in tailer.updates()) == count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


class CountingFolder(Folder):
    """Folder that is treated as object storage, and counts its changes and the bytes that are written."""

    changes = written = 0

    def __init__(self, uri: str):
        super().__init__(uri)
        self.is_local = False

    def write(self, name: str, content: bytes | memoryview) -> None:
        self.changes += 1
        self.written += len(content)
        super().write(name, content)

    def delete(self, name: str) -> None:
        self.changes += 1
        super().delete(name)


def measure_bytes_in_parts(place: Path, count: int) -> float:
    """Return the megabytes that are written of a record in parts."""
    folder = CountingFolder(str(place))
    file = AppendFile(folder, METRICS)
    for first in range(1, count + 1, ROWS_PER_REPORT):
        file.append(to_lines(_rows(first, min(first + ROWS_PER_REPORT, count + 1))))
    file.close()
    assert folder.written <= 3 * folder.size(METRICS)
    return folder.written / 1e6


def _make_run(place: Path, count: int) -> Folder:
    folder = Folder(str(place / "runs" / "some-run"))
    known = {"name": "some-run", "wandb_id": "x", "started": "2026-01-01T10:00:00+00:00", "tags": [], "group": None}
    folder.write_json("run.json", {**known, "job_type": "train"})
    folder.write_json("experiment.json", {"workload": {"name": "made up"}})
    folder.write_json("tracking.json", {"goal": "val/a"})
    folder.write(METRICS, to_lines(_rows(1, count + 1)))
    steps = [*range(0, count, ROWS_PER_REPORT), count]
    folder.write("events.jsonl", "".join(json.dumps({"time": 1e3 + n, **_position(n)}) + "\n" for n in steps).encode())
    folder.write("train.log", b"")
    return folder


def _rows(first: int, end: int) -> list[dict[str, float | int]]:
    return [{"step": step, "epoch": 1, "train/loss": 1 / step, "val/a": math.sin(step)} for step in range(first, end)]


def _position(step: int) -> dict[str, Any]:
    position = {"epoch": 1, "step": step, "step_in_epoch": step, "steps_per_epoch": step + 1, "num_epochs": 1}
    position |= {"samples_per_epoch": step + 1, "learning_rate": 0.1}
    return {**position, "num_steps": step + 1, "speed": SPEED, "system": {}, "is_finished": False, "panels": []}


def _report(step: int, **optional: Any) -> WorkerReport:
    parts = {"rows": [], "epoch_means": {}, "messages": [], "metrics": {}}
    return {**_position(step), **parts, **optional}  # pyright: ignore[reportReturnType]

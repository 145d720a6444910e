"""The record of a run on disk: rows, log, final metrics. It lives in the driver and applies the workers' reports."""

import gzip
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray_jobs.progress import describe_plainly
from trainables.engine.history import to_lines
from trainables.engine.models import load_aliases
from trainables.engine.report import Report
from trainables.storage import Folder

METRICS = "metrics.jsonl"
LOG = "train.log"
FINAL = "final_metrics.json"


Describe = Callable[[Report], Sequence[str]]


class GrowingFile:
    """A file that is added to. On storage without appending a local copy is stored again as a whole."""

    def __init__(self, folder: Folder, name: str):
        self._folder, self._name = folder, name
        self._content = None if folder.is_local else (folder.read(name) if folder.exists(name) else b"")

    def append(self, content: bytes) -> None:
        """Add at the end."""
        if self._content is not None:
            self._content += content
            self._folder.write(self._name, self._content)
            return
        with Path(self._folder.full(self._name)).open("ab") as stream:
            stream.write(content)

    def replace(self, content: bytes) -> None:
        """Put other content in its place."""
        self._folder.write(self._name, content)
        self._content = None if self._content is None else content


class Record:
    """Applies reports in order. After any restart the rows are exactly those of the checkpoint it began from."""

    def __init__(self, folder: Folder, *, describe: Describe = describe_plainly, prints: bool = True):
        """`describe` makes lines for people from a report."""
        self.folder = folder
        self._describe = describe
        self.last: Report | None = None
        """The newest report."""
        self._prints = prints
        self._rows = GrowingFile(folder, METRICS)
        self._log = GrowingFile(folder, LOG)

    def log(self, message: str, *, level: str = "INFO", prints: bool = True) -> None:
        """A line in `train.log` and on the terminal."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._log.append(f"{stamp} {level} {message}\n".encode())
        if self._prints and prints:
            print(message, flush=True)

    def apply(self, report: Report) -> None:
        """Take in one report of rank 0."""
        if "resumed_from" in report:
            self._begin_rows(report["resumed_from"])
        for message in report["messages"]:
            self.log(message, level="WARNING")
        if report["rows"]:
            self._rows.append(to_lines(report["rows"]))
        for line in self._describe(report):
            self.log(line)
        if "checkpoint" in report:
            self.log(f"saved {report['checkpoint']}", prints=False)
        self.last = report

    def _begin_rows(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            self._rows.replace(b"")
            return
        self._rows.replace(gzip.decompress(self.folder.read(f"{checkpoint}/history.jsonl.gz") or gzip.compress(b"")))
        self.log(f"resumed from {self.folder}/{checkpoint}")

    def finish(self, run_id: str) -> dict[str, Any]:
        """Write `final_metrics.json` of a finished run; returns its content."""
        assert self.last is not None, "a run without a report has not finished"
        aliases = load_aliases(self.folder)
        final = {
            "run_id": run_id,
            "epoch": self.last["epoch"],
            "step": self.last["step"],
            "metrics": self.last["metrics"],
            "best_model": aliases["best"] and f"models/{aliases['best']}",
            "best_metrics": {},
        }
        if final["best_model"]:
            final["best_metrics"] = self.folder.read_json(f"{final['best_model']}/metadata.json")["metrics"]
        self.folder.write_json(FINAL, final)
        return final

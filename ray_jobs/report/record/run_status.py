"""State of a run, read from its folder: finished, running, stopped, failed or unfinished."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.heartbeat import find_silence
from ray_jobs.run_folder.run_lock import find_holder

Kind = Literal["finished", "running", "stopped", "failed", "unfinished"]


@dataclass(frozen=True)
class State:
    """State of a run or a search."""

    kind: Kind
    words: str = ""
    """More about it, for people."""


def find_state(folder: Folder, final: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]], log: str) -> State:
    """Find the state of a run from its record, which may break off anywhere; `final` is None before the end."""
    last = events[-1] if events else {}
    if final is not None:
        early = last.get("num_epochs", 0) > final["epoch"]
        return State("finished", f"early, after epoch {final['epoch']} of {last['num_epochs']}" if early else "")
    if holder := find_holder(folder):
        words = f"by process {holder['pid']} on {holder['host']} since {holder['since']}"
        silent = find_silence(folder)
        return State("running", f"{words}; {silent}" if silent else words)
    if "stopped_by" in last:
        return State("stopped", f"by {last['stopped_by']}; the same command goes on with it")
    if cause := find_failure(log):
        return State("failed", cause)
    words = "ended without a word, and the same command goes on with it" if folder.is_local else "as far as is stored"
    return State("unfinished", words)


def find_failure(log: str) -> str:
    """Return the cause of a failure: the first error in the log since the last start, which its trace follows."""
    _, *entries = re.split(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ([A-Z]+) ", log)
    cause = ""
    for level, message in zip(entries[::2], entries[1::2], strict=True):
        if level == "ERROR":
            cause = cause or message.strip()
        elif level == "INFO" and message.startswith(("run ", "resumed from ", "epoch ")):
            cause = ""
    return cause


def warnings_in(log: str) -> list[str]:
    """Return the lines of warnings and errors, without tracebacks."""
    return [line for line in log.splitlines() if re.match(r"[-0-9]{10} [:0-9]{8} (WARNING|ERROR) (?!Traceback)", line)]

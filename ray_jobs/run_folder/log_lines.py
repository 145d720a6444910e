"""Lines of a log: as text for people, or as JSON for log collectors."""

import json
import time
from collections.abc import Callable

from ray_jobs.settings.tracking import LogFormat

TIME = "%Y-%m-%d %H:%M:%S"


def _to_text_line(level: str, message: str) -> bytes:
    return f"{time.strftime(TIME)} {level} {message}\n".encode(errors="backslashreplace")


def _to_json_line(level: str, message: str) -> bytes:
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    return (json.dumps({"time": stamp, "level": level, "message": message}) + "\n").encode()


LOG_FORMATS: dict[LogFormat, Callable[[str, str], bytes]] = {"text": _to_text_line, "json": _to_json_line}
"""Encoders of a level and a message, by format."""


def to_text(log: str) -> str:
    """Return a log as text, whichever format its lines have; both may follow each other in one file."""
    return "".join(_read(line) for line in log.splitlines(keepends=True))


def _read(line: str) -> str:
    try:
        entry = json.loads(line) if line.startswith('{"time"') else None
    except ValueError:  # torn by a kill, or a message that looks like an entry
        entry = None
    if not isinstance(entry, dict) or not {"time", "level", "message"} <= entry.keys():
        return line
    stamp = str(entry["time"])[:19].replace("T", " ")
    return f"{stamp} {entry['level']} {entry['message']}\n"

"""Reading a record that may be growing, torn by a kill, or of an earlier version: what is not there is empty."""

import json
import logging
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.record_file import RecordFile, read_record

_log = logging.getLogger(__name__)


def read_text(folder: Folder, name: str) -> str:
    """Return the content of a file, from its parts where it has any; empty when it is not there."""
    return read_record(folder, name).decode(errors="replace")


def read_json(folder: Folder, name: str) -> Any:
    """Return the content of a JSON file, or None."""
    return folder.read_json(name) if folder.exists(name) else None


def read_lines(folder: Folder, name: str, having: str = "") -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a record that hold some text, without a last one that a kill has torn.

    Others that cannot be read, or have no step, are left out and counted in a warning.
    """
    num_bad, wanted = 0, having.encode()
    for line in RecordFile(folder, name).lines():
        if wanted not in line:
            continue
        try:
            content = json.loads(line)
        except ValueError:
            num_bad += 1
            continue
        if isinstance(content, dict) and isinstance(content.get("step"), int):
            yield content
        else:
            num_bad += 1
    if num_bad:
        _log.warning("%s: %d lines cannot be read and are left out", folder.full(name), num_bad)


def storage_of(folder: Folder) -> Folder:
    """Return the storage path that the folder of a run or a search lies in, two levels up."""
    if folder.is_local:
        return Folder(str(PurePosixPath(folder.path).parent.parent))
    place, mark, options = folder.uri.partition("?")
    return Folder(place.rstrip("/").rsplit("/", 2)[0] + mark + options)

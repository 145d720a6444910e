"""Reading a record that may be growing, torn by a kill, or of an earlier version: what is not there is empty."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from data_pipelines.storage.folder import Folder


def read_text(folder: Folder, name: str) -> str:
    """Return the content of a file; empty when the file is not there."""
    return folder.read(name).decode(errors="replace") if folder.exists(name) else ""


def read_json(folder: Folder, name: str) -> Any:
    """Return the content of a JSON file, or None."""
    return folder.read_json(name) if folder.exists(name) else None


def read_lines(folder: Folder, name: str, having: str = "") -> Iterator[dict[str, Any]]:
    """Yield the JSON lines that hold some text, without those that a kill has torn."""
    for line in read_text(folder, name).splitlines():
        if having not in line:
            continue
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            yield content


def storage_of(folder: Folder) -> Folder:
    """Return the storage path that the folder of a run or a search lies in, two levels up."""
    if folder.is_local:
        return Folder(str(PurePosixPath(folder.path).parent.parent))
    place, mark, options = folder.uri.partition("?")
    return Folder(place.rstrip("/").rsplit("/", 2)[0] + mark + options)

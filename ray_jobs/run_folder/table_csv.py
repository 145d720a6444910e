"""Tables of a run as CSV files that grow with the run: `pictures/<key>/table.csv`, a step and an epoch in front."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.append_file import AppendFile
from ray_jobs.run_folder.record_file import PARTS, record_exists
from trainables.run_paths import PICTURES

TABLE = "table.csv"


class TableFiles:
    """Tables of a run, by their files."""

    def __init__(self, folder: Folder):
        self._folder = folder
        self._files: dict[str, AppendFile] = {}
        self._known: set[str] = set()

    def append(self, description: str) -> None:
        """Add the rows of a table panel, given its description file in the run's folder.

        Other panels are ignored, and so is one that was added since the tables were made or remade.
        """
        panel = self._folder.read_json(description)
        if panel["type"] != "table" or description in self._known:
            return
        self._known.add(description)
        name = f"{PICTURES}/{panel['key']}/{TABLE}"
        rows = [
            [panel["step"], panel["epoch"], *(cell["image"] if isinstance(cell, dict) else cell for cell in row)]
            for row in panel["rows"]
        ]
        if name not in self._files:
            self._files[name] = AppendFile(self._folder, name)
            if not record_exists(self._folder, name):
                rows.insert(0, ["step", "epoch", *panel["columns"]])
        self._files[name].append(to_csv(rows))

    def remake(self, descriptions: Sequence[str]) -> None:
        """Rebuild all tables from these panels: those up to the step that the run resumes from."""
        self._files, self._known = {}, set()
        for name in find_tables(self._folder):
            self._folder.delete(name + PARTS)
            self._folder.delete(name)
        for description in descriptions:
            self.append(description)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def find_tables(folder: Folder) -> list[str]:
    """Return the names of the tables in a run's folder."""
    names = folder.find(PICTURES, "")
    whole = [name for name in names if name.endswith(f"/{TABLE}")]
    parts = [name.split(f"/{TABLE}{PARTS}/")[0] + f"/{TABLE}" for name in names if f"/{TABLE}{PARTS}/" in name]
    return sorted({*whole, *parts})


def to_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return the lines of these rows."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()

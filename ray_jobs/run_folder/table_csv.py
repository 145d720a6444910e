"""Tables of a run as CSV files that grow with the run: `pictures/<key>/table.csv`, a step and an epoch in front."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.append_file import AppendFile
from trainables.run_paths import PICTURES

TABLE = "table.csv"


def append_table(folder: Folder, description: str) -> None:
    """Add the rows of a table panel, given its description file in the run's folder; other panels are ignored."""
    panel = folder.read_json(description)
    if panel["type"] != "table":
        return
    name = f"{PICTURES}/{panel['key']}/{TABLE}"
    rows = [[panel["step"], panel["epoch"], *(_flat(cell) for cell in row)] for row in panel["rows"]]
    if not folder.exists(name):
        folder.write(name, _to_csv([["step", "epoch", *panel["columns"]]]))
    AppendFile(folder, name).append(_to_csv(rows))


def remake_tables(folder: Folder, descriptions: Sequence[str]) -> None:
    """Rebuild all tables from these panels: those up to the step that the run resumes from."""
    for name in folder.find(PICTURES, TABLE):
        folder.delete(name)
    for description in descriptions:
        append_table(folder, description)


def _flat(cell: Any) -> Any:
    return cell["image"] if isinstance(cell, dict) else cell


def _to_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()

"""Tables of a run, as they have grown over its steps."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from data_pipelines.storage.folder import Folder
from ray_jobs.report.record.tolerant_io import read_text
from ray_jobs.run_folder.table_csv import find_tables
from trainables.run_paths import PICTURES

MAX_ROWS = 40
"""Most rows for which all steps are in one table."""
MAX_EARLIER = 400

Row = Sequence[str]


@dataclass(frozen=True)
class StoredTable:
    """Table of the newest step's rows, or of all rows when they are few."""

    key: str
    folder: str
    columns: Row
    rows: Sequence[Row]
    earlier: Sequence[Row]
    """Rows of earlier steps that are folded away, the latest of them."""
    num_left_out: int


def gather_tables(folder: Folder) -> list[StoredTable]:
    """Read the tables of every key."""
    return [_read(folder, name) for name in find_tables(folder)]


def _read(folder: Folder, name: str) -> StoredTable:
    columns, *rows = list(csv.reader(io.StringIO(read_text(folder, name), newline=""))) or [["step", "epoch"]]
    rows = [row for row in rows if len(row) == len(columns)]  # a line that a kill has torn is left out
    newest = rows if len(rows) <= MAX_ROWS else [row for row in rows if row[0] == rows[-1][0]]
    earlier = rows[: len(rows) - len(newest)]
    kept = _without_repeats(columns)
    shown, folded = ([[row[place] for place in kept] for row in part] for part in (newest, earlier[-MAX_EARLIER:]))
    place = PurePosixPath(name).parent
    return StoredTable(
        key=str(place.relative_to(PICTURES)),
        folder=str(place),
        columns=[columns[place] for place in kept],
        rows=shown,
        earlier=folded,
        num_left_out=max(len(earlier) - MAX_EARLIER, 0),
    )


def _without_repeats(columns: Row) -> list[int]:
    """Return the indices of the columns, without step and epoch in front where the table has its own."""
    own = {name.lower() for name in columns[2:]}
    return [place for place, name in enumerate(columns) if place > 1 or name.lower() not in own]

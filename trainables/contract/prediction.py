"""Inputs and results of a prediction."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from data_pipelines.readers.bad_file import printable
from data_pipelines.storage.folder import Folder

Value = str | int | float | bool | None
"""A cell of a table; None is an empty one."""
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Input:
    """One thing to predict: a file or a folder, or, without a root, samples to draw."""

    name: str
    """Path below `root`, with `/` between its parts; names its rows and results."""
    root: Folder | None = None
    size: int = 0
    """Bytes; with `modified_ns` it tells a file that was replaced."""
    modified_ns: int = 0
    indices: tuple[int, ...] = ()
    """Numbers of the samples to draw."""
    companions: tuple[str, ...] = ()
    """Files that are read with it: names in its own folder, beside it when it is opened."""
    group: str = ""
    """What it belongs to, for example the patient of a recording."""

    @contextmanager
    def open(self) -> Iterator[Path]:
        """Yield the file or folder on this machine's disk; downloaded for the block when the storage is remote."""
        assert self.root is not None
        if self.root.is_local:
            yield Path(self.root.full(self.name))
        elif self.root.is_folder(self.name):
            with self.root.local(self.name) as folder:
                yield folder
        else:
            place = PurePosixPath(self.name)
            with TemporaryDirectory(prefix="quintet-input-") as folder:
                for name in (place.name, *self.companions):
                    Path(folder, name).write_bytes(self.root.read(str(place.with_name(name))))
                yield Path(folder, place.name)


@dataclass(frozen=True)
class Prediction:
    """Result of one input."""

    rows: Sequence[Row]
    """Rows of the table of predictions; the input's name is added to each as `input`."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Content of the files to write, by name below the folder of the results."""


def write_csv(rows: Sequence[Row]) -> bytes:
    """Return a table as CSV in UTF-8, with the columns of all rows in the order of their first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return printable(text.getvalue()).encode()

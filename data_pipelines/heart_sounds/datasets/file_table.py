"""Table of what is known of sound files, which it names by their path or by their name alone."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from data_pipelines.readers.bad_file import few, printable
from data_pipelines.readers.csv_table import read_columns

_log = logging.getLogger(__name__)


def match_files(
    path: Path, names: Collection[str], *columns: str, may_be_empty: Sequence[str] = ()
) -> dict[str, dict[str, str]]:
    r"""Read the row of each file from a table with the column `file` and others.

    Args:
        path: The table. A file is named by its path below the folder, or by its name alone if that is unique; rows of
            other files are counted in a warning.
        names: Paths of the files below their folder, with `/`.
        columns: The other columns, none of whose cells may be empty; `subject` must be a name without `/` and `\\`.
        may_be_empty: Further columns, where a cell may be empty.

    Returns:
        The columns by file, for those that have a row.

    Raises:
        ValueError: A row is ambiguous, has no usable subject, or contradicts another one of its file; or cells are
            empty, whose lines are named together.
    """
    by_name: dict[str, list[str]] = {}
    for name in names:
        by_name.setdefault(PurePosixPath(name).name, []).append(name)
    found: dict[str, dict[str, str]] = {}
    unknown: list[str] = []
    empty: dict[str, list[str]] = {}
    for number, row in read_columns(path, "file", *columns, *may_be_empty):
        place, file = f"{printable(path)}: line {number}", row["file"].strip().replace("\\", "/")
        meant = [file] if file in names else by_name.get(file, [])
        if not meant:
            unknown.append(file)
            continue
        if len(meant) > 1:
            raise ValueError(f"{place} means {few(meant)}; write the path below the folder of the files")
        values = {column: row[column].strip() for column in (*columns, *may_be_empty)}
        subject = values.get("subject", "-")
        if not subject or set(subject) & set("/\\") or subject.startswith("."):
            raise ValueError(f"{place} has the subject {subject!r}; expected a name without / and \\")
        for column, value in values.items():
            if not value and column in columns:
                empty.setdefault(column, []).append(str(number))
            before = found.setdefault(meant[0], values)[column]
            if before != value:
                raise ValueError(f"{place} gives {file} the {column} {value!r}, a line before {before!r}")
    for column, lines in empty.items():
        raise ValueError(f"{printable(path)}: no {column} in line {few(lines)}; fill it in, or remove such rows")
    if unknown:
        _log.warning("%s: %d rows are of no file that is there: %s", printable(path), len(unknown), few(unknown))
    return found

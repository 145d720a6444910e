"""Table of what is known of sound files, which it names by their path or by their name alone."""

import logging
from collections.abc import Collection, Sequence, Set
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from data_pipelines.readers.bad_file import few, printable
from data_pipelines.readers.csv_table import read_columns

_log = logging.getLogger(__name__)


def warn_of_some(path: Path, some: Set[str], total: int, words: str) -> None:
    """Log some of all entries of a table or folder, if there are such."""
    if some:
        _log.warning("%s: %d of %d %s: %s", printable(path), len(some), total, words, few(sorted(some)))


def match_files(
    path: Path, names: Collection[str], *columns: str, may_be_empty: Sequence[str] = ()
) -> dict[str, dict[str, str]]:
    r"""Read the row of each file from a table with the column `file` and others.

    A file is named by its path below the folder, or by its name alone if that is unique; how its accents are composed
    and the case of its ending do not matter. Rows of other files than `names`, which are paths with `/`, are counted in
    a warning. No cell of `columns` may be empty, those of `may_be_empty` may; a `subject` must be a name without `/`
    and `\\`.

    Returns:
        The columns by file, for those that have a row.

    Raises:
        ValueError: A row is ambiguous, has no usable subject, or contradicts another one of its file; or cells are
            empty, whose lines are named together.
    """
    by_key: dict[str, list[str]] = {}
    for name in names:
        for key in {_key(name), _key(PurePosixPath(name).name)}:
            by_key.setdefault(key, []).append(name)
    found: dict[str, dict[str, str]] = {}
    unknown: list[str] = []
    empty: dict[str, list[str]] = {}
    for number, row in read_columns(path, "file", *columns, *may_be_empty):
        place, file = f"{printable(path)}: line {number}", row["file"].strip().replace("\\", "/")
        meant = [file] if file in names else by_key.get(_key(file.removeprefix("./")), [])
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


def _key(name: str) -> str:
    """Return the spelling that all spellings of a file's name share: macOS stores an accent apart from its letter."""
    stem, dot, ending = normalize("NFC", name).rpartition(".")
    return f"{stem}{dot}{ending.lower()}"

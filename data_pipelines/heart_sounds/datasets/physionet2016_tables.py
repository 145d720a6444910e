"""Tables of PhysioNet/CinC 2016: labels, qualities and subjects of records, whose names are matched by one key."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from data_pipelines.heart_sounds.datasets.file_table import warn_of_some
from data_pipelines.readers.bad_file import printable
from data_pipelines.readers.csv_table import read_rows

_log = logging.getLogger(__name__)
LABELS = {"1": "abnormal", "-1": "normal"}
DATABASES = "abcdef"


class Label(NamedTuple):
    """Label of a record."""

    word: str
    """`abnormal` or `normal`."""
    place: str
    """The file, and the line of a table."""


def record_key(name: str) -> str:
    """Return the key of a record's name, which all tables and files share: `a0001` for ` A0001.wav`."""
    return name.strip().lower().removesuffix(".wav")


def read_labels(path: Path | None) -> dict[str, Label]:
    """Read the labels of `REFERENCE.csv` by key. Raises ValueError for a row of another form, or a second label."""
    if path is None:
        return {}
    labels: dict[str, Label] = {}
    for number, row in read_rows(path):
        if len(row) < 2 or row[1].strip() not in LABELS:
            words = f"line {number} is {','.join(row)!r}, expected <record>,1 or <record>,-1"
            raise ValueError(f"{printable(path)}: {words}")
        record, word = row[0].strip(), LABELS[row[1].strip()]
        first = labels.setdefault(record_key(record), Label(word, f"{printable(path)}: line {number}"))
        if first.word != word:
            words = f"calls {record} {first.word}, and line {number} {word}"
            raise ValueError(f"{first.place} {words}; keep one of them")
    return labels


def read_quality(path: Path | None, labels: Mapping[str, Label], records: Collection[str]) -> dict[str, bool]:
    """Read whether records are good from `REFERENCE-SQI.csv`; log rows and records without a partner.

    Without a table there are no qualities. `labels` are those of `REFERENCE.csv`, and `records` the keys of the records
    that there are.

    Raises:
        ValueError: A row of another form, a second quality, or a label that contradicts `labels`.
    """
    if path is None:
        return {}
    quality: dict[str, bool] = {}
    for number, row in read_rows(path):
        if len(row) < 3 or row[2].strip() not in ("0", "1"):
            words = f"line {number} is {','.join(row)!r}, expected <record>,<label>,<quality 0 or 1>"
            raise ValueError(f"{printable(path)}: {words}")
        record, is_good = row[0].strip(), row[2].strip() == "1"
        key = record_key(record)
        if row[1].strip() in LABELS:
            said = Label(LABELS[row[1].strip()], f"{printable(path)}: line {number}")
            refuse_contradiction(record, labels.get(key), said)
        if quality.setdefault(key, is_good) != is_good:
            words = f"line {number} gives {record} a second quality, {row[2].strip()}"
            raise ValueError(f"{printable(path)}: {words}; keep one")
    warn_of_some(path, quality.keys() - records, len(quality), "rows are of no record that is there")
    warn_of_some(path, set(records) - quality.keys(), len(records), "records have no row there and count as good")
    return quality


def refuse_contradiction(record: str, first: Label | None, second: Label | None) -> None:
    """Raise ValueError when two places give a record different labels."""
    if first and second and first.word != second.word:
        words = f"calls {record} {first.word}, but {second.place} {second.word}"
        raise ValueError(f"{first.place} {words}; correct one of them")


def read_originals(path: Path, records: Collection[str]) -> dict[str, str]:
    """Read the original record name (of database e: the raw record's subject) from the appendix, by key.

    Records without a row, and rows without one of `records`, the keys of those that there are, are logged.

    Raises:
        ValueError: A column is missing, or a record has two originals.
    """
    rows = read_rows(path, has_breaks=True)
    texts = [[" ".join(cell.split()) for cell in row] for _, row in rows]
    start = next((index for index, cells in enumerate(texts) if _column(cells, "challenge record") is not None), 0)
    head = texts[start] if texts else []
    name, original, raw = (_column(head, words) for words in ("challenge record", "original record", "raw record"))
    if name is None or original is None:
        lacking = "Challenge record name" if name is None else "Original record name"
        raise ValueError(f"{printable(path)}: has no column `{lacking}`; it has {', '.join(filter(None, head))}")
    found: dict[str, str] = {}
    for number, row in rows[start + 1 :]:
        cells = [cell.strip() for cell in row] + [""] * len(head)
        key = record_key(cells[name])
        if not key:
            continue
        is_raw = key.startswith("e") and raw is not None
        subject = _raw_subject(cells[original], cells[raw]) if is_raw and raw is not None else cells[original]
        if found.setdefault(key, subject) != subject:
            words = f"line {number} gives {cells[name]} a second original, {subject} beside {found[key]}"
            raise ValueError(f"{printable(path)}: {words}; keep one of them")
    _warn_of_subjects(path, found, records, has_raw=raw is not None)
    return found


def _warn_of_subjects(path: Path, found: Collection[str], records: Collection[str], *, has_raw: bool) -> None:
    """Log what the appendix and the records lack of each other; rows of a database that is not there do not count."""
    absent = set(DATABASES) - {key[:1] for key in records}
    rows, own = {key for key in found if key[:1] not in absent}, "each counts as a subject of its own"
    warn_of_some(path, rows - set(records), len(rows), "rows are of no record that is there")
    warn_of_some(path, set(records) - set(found), len(records), f"records have no row there; {own}")
    if not has_raw and any(key.startswith("e") for key in records):
        words = "%s: has no column `Raw record`; each original record of database e counts as a subject of its own"
        _log.warning(words, printable(path))


def _raw_subject(original: str, raw: str) -> str:
    """Return a subject's name with its cohort: the same number means two people in the two cohorts of database e.

    Names of one cohort begin with e, those of the other with a digit.
    """
    if not raw or raw.lower() == "nan":
        return ""
    return f"{'e' if original.lower().startswith('e') else 'n'}{raw.removesuffix('.0')}"


def _column(columns: list[str], words: str) -> int | None:
    return next((index for index, column in enumerate(columns) if words in column.lower()), None)

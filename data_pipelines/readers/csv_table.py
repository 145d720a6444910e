"""Reader of small tables: UTF-8 or UTF-16 with its mark, commas, any line ends; refusals name the file and line."""

import csv
import io
from pathlib import Path

from data_pipelines.readers.bad_file import BadFileError, refuse_unopenable

_ADVICE = "save it as CSV in UTF-8, with commas"


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows of a table with their line numbers, from 1; empty lines are passed over.

    Raises BadFileError for text that is not UTF-8, for another separator than the comma, and for bytes of no text.
    """
    refuse_unopenable(path)
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "," not in first and any(separator in first for separator in ";\t"):
        raise BadFileError(path, f"line 1 has no comma ({first[:60]!r}); {_ADVICE}")
    reader = csv.reader(io.StringIO(text, newline=None))
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise BadFileError(path, f"line {reader.line_num} cannot be read ({error}); {_ADVICE}") from error


def read_columns(path: Path, *needed: str) -> list[tuple[int, dict[str, str]]]:
    """Return the rows below a heading, by column, with their line numbers. Raises BadFileError for a missing column."""
    rows = read_rows(path)
    if not rows:
        raise BadFileError(path, f"holds no rows; {_ADVICE}")
    columns = [cell.strip() for cell in rows[0][1]]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise BadFileError(path, f"has no column {', '.join(missing)}; it has {', '.join(columns)}")
    return [(number, dict(zip(columns, [*row, *[""] * len(columns)], strict=False))) for number, row in rows[1:]]


def read_text(path: Path) -> str:
    """Return a file's text. Raises BadFileError naming the first line that is not UTF-8."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadFileError(path, f"line {line} is not {encoding.removesuffix('-sig').upper()}; {_ADVICE}") from error
    if "\0" in text:
        raise BadFileError(path, f"line {text[: text.index(chr(0))].count(chr(10)) + 1} is no text; {_ADVICE}")
    return text

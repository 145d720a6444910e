"""Reader of small tables: UTF-8 or UTF-16 with its mark, commas, any line ends; refusals name the file and line."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.readers.bad_file import BadFileError, few, refuse_unopenable

_ADVICE = "save it as CSV in UTF-8, with commas"
_LINE_END = re.compile(rb"\r\n|\r|\n")


def read_rows(path: Path, *, has_breaks: bool = False) -> list[tuple[int, list[str]]]:
    """Return the rows of a table with the line that each begins at, from 1; empty lines are passed over.

    Args:
        path: The table.
        has_breaks: Whether cells in quotes may hold line ends, as the headings of a spreadsheet do. Otherwise such a
            cell is refused, since a lacking quote looks the same.

    Raises:
        BadFileError: Text that is not UTF-8, another separator than the comma, quotes that do not close, bytes of no
            text.
    """
    refuse_unopenable(path)
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "," not in first and any(separator in first for separator in ";\t"):
        raise BadFileError(path, f"line 1 has no comma ({first[:60]!r}); {_ADVICE}")
    reader = csv.reader(io.StringIO(text, newline=None), strict=True)
    rows, line = [], 1
    try:
        for row in reader:
            if any("\n" in cell for cell in row) and not has_breaks:
                raise BadFileError(path, f"line {line} has a cell that goes on in the next line; close its quotes")
            if any(cell.strip() for cell in row):
                rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadFileError(path, f"the row from line {line} on cannot be read ({error}); {_ADVICE}") from error
    return rows


def read_columns(path: Path, *needed: str, optional: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Return the rows below a heading, by column, with their line numbers.

    Args:
        path: The table.
        needed: Columns that the heading and every row must have.
        optional: Columns that every row must have if the heading has them. Spreadsheets leave out empty cells at the
            end of a row, so rows may lack other columns, which are then empty.

    Raises:
        BadFileError: Names the column that is missing or repeated, or the line whose cells do not fit the heading.
    """
    rows = read_rows(path)
    if not rows:
        raise BadFileError(path, f"holds no rows; {_ADVICE}")
    columns = [cell.strip() for cell in rows[0][1]]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise BadFileError(path, f"has no column {', '.join(missing)}; it has {', '.join(columns)}")
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        raise BadFileError(path, f"has the column {few(repeated)} more than once; keep one of them")
    least = max(columns.index(name) + 1 for name in (*needed, *optional) if name in columns)
    for number, row in rows[1:]:
        if len(row) < least or any(cell.strip() for cell in row[len(columns) :]):
            fault = f"line {number} has {len(row)} cells, but the heading has {len(columns)}"
            raise BadFileError(path, f"{fault} ({','.join(row)[:60]!r}); {_ADVICE}")
    return [(number, dict(zip(columns, [*row, *[""] * len(columns)], strict=False))) for number, row in rows[1:]]


def read_text(path: Path) -> str:
    """Return a file's text. Raises BadFileError naming the first line that is not UTF-8."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(content[: error.start])) + 1
        raise BadFileError(path, f"line {line} is not {encoding.removesuffix('-sig').upper()}; {_ADVICE}") from error
    if "\0" in text:
        before = text[: text.index("\0")].encode()
        raise BadFileError(path, f"line {len(_LINE_END.findall(before)) + 1} is no text; {_ADVICE}")
    return text

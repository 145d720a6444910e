"""Tables: what is read the same in every form, and what is refused with file and line."""

from pathlib import Path

import pytest

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.csv_table import read_columns, read_rows

TEXT = "name,label\nä1,1\n\nb,-1\n"
ROWS = [(1, ["name", "label"]), (2, ["ä1", "1"]), (4, ["b", "-1"])]


def _save(folder: Path, content: bytes) -> Path:
    (folder / "t.csv").write_bytes(content)
    return folder / "t.csv"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace("b,", '"b",').encode(),
    ],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, content: bytes) -> None:
    assert read_rows(_save(tmp_path, content)) == ROWS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TEXT.encode("latin1"), r"t\.csv: line 2 is not UTF-8; save it as CSV in UTF-8"),
        (TEXT.replace(",", ";").encode(), r"t\.csv: line 1 has no comma .*; save it as CSV"),
        (TEXT.replace(",", "\t").encode(), r"t\.csv: line 1 has no comma"),
        (b"a,b\n\0,1\n", r"t\.csv: line 2 is no text"),
        (b"a,b\r\xe4,1\r", r"t\.csv: line 2 is not UTF-8"),
        (b'a,b\nc,1\n"d,1\ne,1\n', r"t\.csv: the row from line 3 on cannot be read"),
        (b'a,b\n"c\nd",1\n', r"t\.csv: line 2 has a cell that goes on in the next line; close its quotes"),
        (b"", r"t\.csv: is empty"),
    ],
)
def test_other_text_is_refused_with_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(BadFileError, match=words):
        read_rows(_save(tmp_path, content))


def test_a_missing_column_names_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"t\.csv: has no column subject; it has name, label"):
        read_columns(_save(tmp_path, TEXT.encode()), "name", "subject")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,label\na,1\nb\n", r"t\.csv: line 3 has 1 cells, but the heading has 2"),
        ("name,label\na;1\n", r"t\.csv: line 2 has 1 cells, but the heading has 2"),
        ("name,label\na,1,2\n", r"t\.csv: line 2 has 3 cells, but the heading has 2"),
        ("name,label,label\na,1,2\n", r"t\.csv: has the column label more than once"),
    ],
)
def test_rows_that_do_not_fit_the_heading_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadFileError, match=words):
        read_columns(_save(tmp_path, text.encode()), "name", "label")


def test_empty_cells_at_the_end_of_a_row_may_be_lacking(tmp_path: Path) -> None:
    rows = read_columns(_save(tmp_path, b"name,label,note\na,1\nb,2,,\n"), "name", "label")
    assert rows == [(2, {"name": "a", "label": "1", "note": ""}), (3, {"name": "b", "label": "2", "note": ""})]


def test_a_row_after_a_heading_of_two_lines_has_its_own_line(tmp_path: Path) -> None:
    path = _save(tmp_path, b'"a\n1",b\nc,d\n')
    assert read_rows(path, has_breaks=True) == [(1, ["a\n1", "b"]), (3, ["c", "d"])]

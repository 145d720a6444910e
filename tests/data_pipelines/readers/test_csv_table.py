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
        (b"", r"t\.csv: is empty"),
    ],
)
def test_other_text_is_refused_with_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(BadFileError, match=words):
        read_rows(_save(tmp_path, content))


def test_a_missing_column_names_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"t\.csv: has no column subject; it has name, label"):
        read_columns(_save(tmp_path, TEXT.encode()), "name", "subject")

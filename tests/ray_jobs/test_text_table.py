"""Tables of text with aligned columns."""

from ray_jobs.text_table import TextTable, align


def test_columns_are_as_wide_as_their_longest_cell():
    assert align([["a", "long", "1"], ["word", "b", "10"]], numeric=(2,)) == ["a     long   1", "word  b     10"]


def test_a_table_is_its_title_its_columns_and_its_rows():
    table = TextTable(["name", "value"], [["x", "1"]], title="words", numeric=(1,))
    assert str(table).splitlines() == ["words", "name  value", "x         1"]

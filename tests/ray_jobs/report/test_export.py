"""Tables and figures of a page as files for a paper."""

import csv
import io

from data_pipelines.storage.folder import Folder
from ray_jobs.cli import DONE, main
from ray_jobs.report.export import export_page, to_csv, to_latex
from ray_jobs.report.page.content import Card, CellPicture, Page, Section, Table, Words

TABLE = Table(
    "a table",
    ["metric", Words("50 % of a_b")],
    [["loss & more", 0.123456789], ["count", 1618048.0], [CellPicture("data:x"), None]],
    frozenset([1]),
    frozenset([0]),
)


def test_csv_has_all_digits_of_a_number():
    assert list(csv.reader(io.StringIO(to_csv(TABLE).decode(), newline=""))) == [
        ["metric", "50 % of a_b"],
        ["loss & more", "0.123456789"],
        ["count", "1618048.0"],
        ["", ""],
    ]


def test_latex_escapes_words_and_emphasises_rows():
    lines = to_latex(TABLE).decode().splitlines()
    assert lines[0] == r"\begin{tabular}{lr}" and lines[-1] == r"\end{tabular}"
    assert lines[2] == r"metric & 50 \% of a\_b \\"
    assert lines[4] == r"\textbf{loss \& more} & \textbf{0.1235} \\"
    assert lines[5] == r"count & 1,618,048 \\"


def test_tables_of_one_name_get_files_of_their_own(tmp_path):
    section = Section("s", [Card([TABLE, TABLE])])
    page = Page("t", [], None, "", [], [section])
    assert export_page(page, Folder(str(tmp_path))) == 4
    names = sorted(file.name for file in (tmp_path / "tables").iterdir())
    assert names == ["a_table.csv", "a_table.tex", "a_table_2.csv", "a_table_2.tex"]


def test_the_command_exports_what_the_page_shows(write_run, tmp_path, capsys):
    assert main(["report", str(write_run()), "--export", str(tmp_path / "paper")]) == DONE
    figures = {file.name for file in (tmp_path / "paper/figures").iterdir()}
    assert {"mse.svg", "mse.pdf", "train_loss.svg"} <= figures
    rows = list(csv.DictReader(io.StringIO((tmp_path / "paper/tables/metrics.csv").read_text())))
    assert next(row for row in rows if row["metric"] == "test/mse")["last, step 20"] == "2.0"

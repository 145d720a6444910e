"""Tables as CSV and LaTeX, and figures as SVG and PDF, of all that a page shows."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from data_pipelines.storage.folder import Folder
from ray_jobs.report.charts.drawing import draw, opens_log
from ray_jobs.report.format_numbers import number
from ray_jobs.report.page.content import Cell, Page, Table

Item = TypeVar("Item")
TABLES, FIGURES = "tables", "figures"
LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def export_page(page: Page, folder: Folder) -> int:
    """Write every table of a page as CSV and LaTeX (booktabs) into `tables`, every chart as SVG and PDF into `figures`.

    Returns how many files were written.
    """
    num_files = 0
    for name, table in _named([(table.name, table) for table in page.tables()]):
        folder.write(f"{TABLES}/{name}.csv", to_csv(table))
        folder.write(f"{TABLES}/{name}.tex", to_latex(table))
        num_files += 2
    for name, chart in _named([(chart.title, chart) for chart in page.charts()]):
        for form in ("svg", "pdf"):
            folder.write(f"{FIGURES}/{name}.{form}", draw(chart, form, is_log=opens_log(chart)))
            num_files += 1
    return num_files


def to_csv(table: Table) -> bytes:
    """Return a table as CSV, numbers with all their digits."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow([_plain(cell) for cell in table.columns])
    writer.writerows([_plain(cell) for cell in row] for row in table.rows)
    return stream.getvalue().encode()


def to_latex(table: Table) -> bytes:
    """Return a table as LaTeX for the package booktabs, numbers with four digits."""
    columns = "".join("r" if index in table.numeric else "l" for index in range(len(table.columns)))
    rows = []
    for index, row in enumerate(table.rows):
        cells = [_latex(cell) for cell in row]
        rows.append([rf"\textbf{{{cell}}}" if index in table.strong and cell else cell for cell in cells])
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_row([_latex(cell) for cell in table.columns]),
        r"\midrule",
        *map(_latex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return ("\n".join(lines) + "\n").encode()


def _named(items: Sequence[tuple[str, Item]]) -> Iterator[tuple[str, Item]]:
    """Yield each with a file name of its own."""
    taken: set[str] = set()
    for title, item in items:
        name = stem = re.sub(r"[^A-Za-z0-9.+-]+", "_", title).strip("_") or "unnamed"
        count = 1
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        taken.add(name)
        yield name, item


def _plain(cell: Cell) -> str:
    return "" if cell is None else repr(cell) if isinstance(cell, float) else str(cell)


def _latex(cell: Cell) -> str:
    words = number(cell) if isinstance(cell, float) else "" if cell is None else str(cell)
    return "".join(LATEX.get(letter, letter) for letter in words)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"

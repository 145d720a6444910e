"""Tables that a run has stored, as parts of its page."""

import math
from collections.abc import Callable, Sequence

from ray_jobs.report.page.content import Card, Cell, CellBar, CellPicture, Folded, Part, Table
from ray_jobs.report.record.table import Row, StoredTable

ReadPicture = Callable[[str], str | None]
"""Returns the data URI of a picture that a cell names, or None."""


def table_card(stored: StoredTable, read: ReadPicture) -> Card:
    """Build the card of a table."""
    parts: list[Part] = [_table(stored, stored.rows, read, stored.key)]
    if stored.earlier:
        words = f"{len(stored.earlier)} rows of earlier steps"
        words += f" ({stored.num_left_out} more in {stored.folder}/table.csv)" if stored.num_left_out else ""
        parts.append(Folded(words, [_table(stored, stored.earlier, read, f"{stored.key}/earlier")]))
    return Card(parts, stored.key, is_long=True)


def _table(stored: StoredTable, rows: Sequence[Row], read: ReadPicture, name: str) -> Table:
    columns = list(zip(*rows, strict=True)) or [() for _ in stored.columns]
    numbers = {place: [_to_number(cell) for cell in column] for place, column in enumerate(columns)}
    numeric = [place for place, column in numbers.items() if any(value is not None for value in column)]
    shares = {
        place
        for place in numeric
        if "%" in stored.columns[place] and all(value is None or 0 <= value <= 100 for value in numbers[place])
    }
    cells = [[_cell(cell, place in shares, read) for place, cell in enumerate(row)] for row in rows]
    return Table(name, stored.columns, cells, frozenset(numeric), is_tall=True)


def _cell(cell: str, is_share: bool, read: ReadPicture) -> Cell:
    value = _to_number(cell)
    if value is None:
        uri = read(cell)
        return CellPicture(uri) if uri else cell
    words = cell if value == round(value) and "." not in cell else f"{value:.4g}"
    words = f"{int(value):,}" if words.lstrip("-").isdigit() and len(words) > 4 else words
    return CellBar(words, round(value, 1)) if is_share else words


def _to_number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None

"""Tables of text with aligned columns, for logs, pipes and terminals."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

GAP = "  "


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text; as a string it has no colour, and nothing of it is wrapped or cut off."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numeric: Collection[int] = ()
    """Positions of the columns that are aligned to the right, and never broken into two lines."""
    strong: Collection[int] = ()
    """Positions of the rows that stand out on a terminal."""

    def __str__(self) -> str:
        return "\n".join([*([self.title] if self.title else []), *align([self.columns, *self.rows], self.numeric)])


def align(rows: Sequence[Sequence[str]], numeric: Collection[int] = ()) -> list[str]:
    """Return a line for each row, its cells padded to the width of their column.

    The columns at the positions `numeric` are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(
            cell.rjust(width) if position in numeric else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

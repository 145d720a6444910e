"""Content of a page as plain data: what the page shows, and what `--export` writes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ray_jobs.report.charts.chart import Chart
from ray_jobs.report.record.gallery import Gallery
from ray_jobs.report.record.run_status import State

FindReport = Callable[[str], str | None]
"""Returns the address of the report of a run or a search by its name, or None."""


@dataclass(frozen=True)
class Words:
    """Words that may be a link, or set like code or softly."""

    text: str
    address: str | None = None
    style: str = ""
    """Classes of the style sheet: `mono`, `soft`."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class CellPicture:
    """Small picture in a cell."""

    uri: str

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class CellBar:
    """Number with a bar behind it."""

    text: str
    percent: float

    def __str__(self) -> str:
        return self.text


Cell = str | int | float | Words | CellPicture | CellBar | None
"""A float is shown with four digits and exported with all."""


@dataclass(frozen=True)
class Part:
    """Part of a section."""

    kind: ClassVar[str]
    """The macro that shows it."""


@dataclass(frozen=True)
class Table(Part):
    """Table, which is also exported under its name."""

    kind = "table"
    name: str
    columns: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    """Columns that are aligned to the right."""
    strong: frozenset[int] = frozenset()
    """Rows that are emphasised."""
    is_tall: bool = False
    """Whether it scrolls by itself when it is long."""


@dataclass(frozen=True)
class Pairs(Part):
    """Names and values; those without a value are left out."""

    kind = "pairs"
    items: Sequence[tuple[str, Cell]]


@dataclass(frozen=True)
class Charts(Part):
    """Charts side by side."""

    kind = "charts"
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Galleries(Part):
    """Pictures of all keys."""

    kind = "galleries"
    galleries: Sequence[Gallery]


@dataclass(frozen=True)
class StoredPicture(Part):
    """One picture with a title."""

    kind = "picture"
    title: str
    uri: str


@dataclass(frozen=True)
class Text(Part):
    """Paragraph, or lines as they are."""

    kind = "text"
    text: str
    is_note: bool = False
    is_verbatim: bool = False


@dataclass(frozen=True)
class Folded(Part):
    """Parts that are seen after a click on the summary."""

    kind = "folded"
    summary: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Card(Part):
    """Box around parts."""

    kind = "card"
    parts: Sequence[Part]
    title: str = ""
    is_long: bool = False
    """Whether a page break may divide it."""


@dataclass(frozen=True)
class Columns(Part):
    """Parts beside each other where there is room."""

    kind = "columns"
    parts: Sequence[Part]
    is_gallery: bool = False


@dataclass(frozen=True)
class Fact:
    """One figure of the headline."""

    what: str
    value: str
    more: str = ""


@dataclass(frozen=True)
class FactGroup:
    """Figures of the headline that belong together."""

    title: str
    facts: Sequence[Fact]


@dataclass(frozen=True)
class Section:
    """Section with a heading; without parts it is left out."""

    name: str
    parts: Sequence[Part]

    @property
    def place(self) -> str:
        """Address of the section in its page."""
        return self.name.lower().replace(" ", "-")


@dataclass(frozen=True)
class Page:
    """Complete page."""

    title: str
    sub: Sequence[Words]
    """The line below the title."""
    state: State | None
    notes: str
    facts: Sequence[FactGroup]
    sections: Sequence[Section]
    foot: str = ""

    def tables(self) -> Iterator[Table]:
        return (part for part in _walk(self.sections) if isinstance(part, Table))

    def charts(self) -> Iterator[Chart]:
        return (chart for part in _walk(self.sections) if isinstance(part, Charts) for chart in part.charts)


def present(*parts: Part | None) -> list[Part]:
    """Return the parts that are there."""
    return [part for part in parts if part is not None]


def _walk(parts: Sequence[Part | Section]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Part):
            yield part
        if isinstance(part, Section | Card | Columns | Folded):
            yield from _walk(part.parts)

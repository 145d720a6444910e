"""Frame of a page, and the parts that pages are built from."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ray_jobs.report.charts.chart import Chart
from ray_jobs.report.charts.curves import can_be_log, draw, opens_log
from ray_jobs.report.format_numbers import number
from ray_jobs.report.html import Markup, join, tag
from ray_jobs.report.record.run_status import State

STYLE = Markup(Path(__file__).with_name("page.css").read_text())
SCRIPT = Markup(Path(__file__).with_name("page.js").read_text())
MAX_LEGEND = 12
Link = Callable[[str], str | None]
"""Returns the address of the report of a run or a search by its name, or None."""


def build_page(title: str, sections: Sequence[tuple[str, Any]], head: Any, foot: Any) -> bytes:
    """Build a complete HTML file, which fetches nothing, and runs no script but its own.

    Args:
        title: Title of the page.
        sections: Names and contents; a section without content is left out.
        head: Content above the sections.
        foot: Content below the sections.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    shown = [(name, name.lower().replace(" ", "-"), content) for name, content in sections if content]
    links = [tag("a", name, href=f"#{place}") for name, place, _ in shown]
    blocks = [tag("section", tag("h2", name), content, id=place) for name, place, content in shown]
    frame = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", STYLE),
    ]
    main = tag("main", head, tag("nav", links), blocks, tag("footer", foot))
    body = tag("body", main, tag("script", SCRIPT))
    return f"<!doctype html>\n{tag('html', tag('head', frame), body, lang='en')}\n".encode()


def heading(name: str) -> Markup:
    """Build the page's heading, which may be broken after every `_`, `/` and `-`."""
    return tag(
        "h1", [[tag("wbr"), part] if place else part for place, part in enumerate(re.split(r"(?<=[_/-])", name))]
    )


def state_chip(state: State) -> Markup:
    """Build the state's word in colour, with more about the state behind."""
    return join([tag("span", state.kind, class_=f"chip {state.kind}"), state.words])


def facts(items: Iterable[tuple[str, str, str]]) -> Markup:
    """Build a row of facts: name, value and a remark of each."""
    return tag(
        "div",
        [
            tag(
                "div",
                *(tag("div", word, class_=kind) for word, kind in zip(item, ("what", "value", "more"), strict=True)),
                class_="fact",
            )
            for item in items
        ],
        class_="facts",
    )


def chart_grid(charts: Sequence[Chart], prefix: str) -> Markup | None:
    """Build figures side by side; `prefix` makes their ids unique."""
    figures = [_figure(chart, f"{prefix}{index}") for index, chart in enumerate(charts)]
    return tag("div", figures, class_="charts") if figures else None


def _figure(chart: Chart, name: str) -> Markup:
    plots: list[Markup | None] = [None, None, tag("div", draw(chart), class_="by-line")]
    if can_be_log(chart):
        plots[0] = tag("input", type="checkbox", class_="log", id=name, checked=opens_log(chart))
        plots[1] = tag("label", "log", class_="log", for_=name)
        plots.append(tag("div", draw(chart, is_log=True), class_="by-log"))
    value = tag("b", number(chart.lines[0].points[-1][1]), class_="soft") if len(chart.lines) == 1 else None
    legend = _legend(chart) if chart.has_legend and value is None else None
    caption = tag("figcaption", tag("h3", chart.title, " ", value), legend)
    return tag("figure", caption, plots, class_="chart card")


def _legend(chart: Chart) -> Markup:
    """Build a legend of the first `MAX_LEGEND` lines, each with its last value."""
    items = [
        tag(
            "span",
            tag("i", class_=f"key {line.kind} {line.colour}"),
            f"{line.name} ",
            tag("b", number(line.points[-1][1])),
        )
        for line in chart.lines[:MAX_LEGEND]
    ]
    more = len(chart.lines) - MAX_LEGEND
    return tag("div", items, tag("span", f"and {more} more") if more > 0 else None, class_="legend")


def table(
    columns: Sequence[Any], rows: Sequence[Sequence[Any]], numeric: Iterable[int] = (), *, strong: Sequence[bool] = ()
) -> Markup:
    """Build a table.

    Args:
        columns: Headings.
        rows: Cells of each row; one may be an element of its own (`td`).
        numeric: Indices of columns that are aligned to the right.
        strong: Whether each row is emphasised; by default none is.
    """
    right = set(numeric)
    head = tag("tr", [tag("th", name, class_="num" if place in right else None) for place, name in enumerate(columns)])
    body = [
        tag("tr", [_cell(cell, place in right) for place, cell in enumerate(row)], class_="goal" if is_strong else None)
        for row, is_strong in zip(rows, strong or [False] * len(rows), strict=True)
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", body)), class_="scroll")


def _cell(cell: Any, is_numeric: bool) -> Markup:
    if isinstance(cell, Markup) and cell.startswith("<td"):
        return cell
    return tag("td", cell, class_="num" if is_numeric else None)


def card(*content: Any, is_long: bool = False) -> Markup:
    """Build a box."""
    return tag("div", *content, class_="card block long" if is_long else "card block")


def folded(summary: str, *content: Any) -> Markup:
    """Build content that is seen after a click on the summary."""
    return tag("details", tag("summary", summary), *content)


def linked(words: str, address: str | None) -> Markup | str:
    """Return the words, as a link when there is an address."""
    return tag("a", words, href=address) if address else words

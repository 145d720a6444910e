"""An answer's pictures, files, probabilities and table in the forms that the page shows."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ray_jobs.app.answers import Answer
from ray_jobs.app.previews import FILM_SUFFIXES, Shown
from trainables.contract.prediction import Row, Value

ROUTE = "/gradio_api/file="
"""Address below which Gradio serves the folders that it may serve."""
FEW = 6
"""Pictures that stand in two columns, and files that are listed at once; more pictures stand in five columns."""
CSS = """
.pictures { display: flex; flex-wrap: wrap; gap: 12px; margin-bottom: 16px; }
.pictures figure { margin: 0; flex: 0 1 calc(50% - 6px); min-width: 240px; }
.pictures.many figure { flex-basis: calc(20% - 10px); min-width: 120px; }
.pictures figure.wide, .pictures figure:only-child { flex-basis: 100%; }
.pictures img, .pictures video { max-width: 100%; }
.pictures figure:not(:only-child) img { width: 100%; }
"""


def draw_figures(answer: Answer) -> str:
    """Return the pictures with their captions, and links to all files, as HTML."""
    figures = "".join(_draw_figure(shown) for shown in answer.shown)
    links = "".join(
        f'<li><a href="{_address(file)}" download>{escape(name)}</a></li>' for name, file in answer.files.items()
    )
    kind = "pictures many" if len(answer.shown) > FEW else "pictures"
    hidden = f"<p>{answer.num_hidden} more are among the results.</p>" if answer.num_hidden else ""
    is_open = " open" if len(answer.files) <= FEW else ""
    files = f"<details{is_open}><summary>Results in full form</summary><ul>{links}</ul></details>"
    return f'<div class="{kind}">{figures}</div>{hidden}{files}'


def find_probabilities(rows: Sequence[Row]) -> dict[str, float]:
    """Return the probabilities `p(CLASS)` of a single row, by class; none of several rows."""
    found = rows[0].items() if len(rows) == 1 else ()
    return {name[2:-1]: value for name, value in found if _is_probability(name) and isinstance(value, float)}


def build_table(rows: Sequence[Row]) -> dict[str, Any]:
    """Return headers and cells of a table; a single row stands upright, without its probabilities."""
    if len(rows) == 1:
        cells = [[name, _format(value)] for name, value in rows[0].items() if not _is_probability(name)]
        return {"headers": ["column", "value"], "data": cells}
    headers = list(dict.fromkeys(name for row in rows for name in row))
    return {"headers": headers, "data": [[_format(row.get(name)) for name in headers] for row in rows]}


def _draw_figure(shown: Shown) -> str:
    address, caption = _address(shown.file), escape(shown.caption)
    if shown.file.suffix.lower() in FILM_SUFFIXES:
        picture = f'<video src="{address}" controls loop></video>'
    else:
        picture = f'<a href="{address}" target="_blank"><img src="{address}" alt="{caption}"></a>'
    kind = ' class="wide"' if shown.is_wide else ""
    return f"<figure{kind}>{picture}<figcaption>{caption}</figcaption></figure>"


def _address(file: Path) -> str:
    return escape(ROUTE + quote(str(file)))


def _is_probability(name: str) -> bool:
    return name.startswith("p(") and name.endswith(")")


def _format(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)

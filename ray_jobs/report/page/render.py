"""A page as one HTML file, by Jinja2: it fetches nothing, runs no script, and escapes all that is not its own."""

import base64
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ray_jobs.report.charts.chart import Chart
from ray_jobs.report.charts.drawing import can_be_log, draw, opens_log
from ray_jobs.report.format_numbers import number
from ray_jobs.report.page.content import Page

TEMPLATES = Path(__file__).with_name("templates")
MAX_LEGEND = 12
SMALL_WIDTH = 200
"""Pictures that are narrower are shown twice as large, pixel by pixel."""


def render(page: Page) -> bytes:
    """Build the complete HTML file."""
    return _environment().get_template("page.html").render(page=page).encode() + b"\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        style=Markup((TEMPLATES / "page.css").read_text()), max_legend=MAX_LEGEND, small_width=SMALL_WIDTH
    )
    environment.filters.update(breakable=_breakable, number=number, svg=_svg)
    environment.tests.update(can_be_log=can_be_log, opens_log=opens_log)
    return environment


def _breakable(name: str) -> list[str]:
    """Return the pieces of a name between which a line may break: after every `_`, `/` and `-`."""
    return re.split(r"(?<=[_/-])", name)


def _svg(chart: Chart, *, is_log: bool = False) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(draw(chart, 'svg', is_log=is_log)).decode()}"

"""Drawing of a chart by matplotlib: as SVG for the page, as SVG and PDF for a paper."""

import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ray_jobs.report.charts.chart import Chart, Line, Point
from ray_jobs.report.format_numbers import number, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.6, 2.5
"""Inches."""
LEFT, BOTTOM, TOP, RIGHT = 0.15, 0.19, 0.95, 0.97
LETTER = 0.018
"""Width of a letter of a label, as a share of the figure's."""
LABEL_GAP = 0.07
"""Least distance of labels, as a share of the axes' height."""
MAX_LABELS, MAX_LETTERS, MAX_MARKERS = 8, 16, 40
LOG_RATIO = 10
"""Least ratio of greatest to least value at which a chart is also drawn with a logarithmic scale."""
INK, SOFT, RULE = "#1c1d21", "#63666e", "#e3e3df"
COLOURS = {
    **dict(zip(("c0", "c1", "c2", "c3"), ("#1f5fbf", "#d1600f", "#1c8a54", "#8a44b8"), strict=True)),
    **dict(zip(("c4", "c5", "c6", "c7"), ("#b8860b", "#c2334d", "#0f8b9e", "#6b7280"), strict=True)),
    **dict(zip(("r0", "r1", "r2", "r3"), ("#32156b", "#4a2893", "#623db0", "#7a56c4"), strict=True)),
    **dict(zip(("r4", "r5", "r6", "r7"), ("#8f70d1", "#a188db", "#b29ee3", "#c2b3ea"), strict=True)),
}
"""Of the classes of the style sheet."""
STYLES = {"line": {"linewidth": 1.6}, "faint": {"linewidth": 0.8, "alpha": 0.4}, "dashed": {"linewidth": 1.2}}
DASHES = {"dashed": (0, (4, 3))}
SETTINGS: Any = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 9,
    "axes.linewidth": 0.6,
    "svg.hashsalt": "chart",
}


def can_be_log(chart: Chart) -> bool:
    """Return whether a logarithmic scale shows what a linear one does not."""
    values = _values(chart)
    return min(values) > 0 and max(values) >= LOG_RATIO * min(values)


def opens_log(chart: Chart) -> bool:
    """Return whether half of all values are so low that a linear scale would hide them."""
    values = sorted(_values(chart))
    low, middle, high = values[0], values[len(values) // 2], values[-1]
    return can_be_log(chart) and middle - low < 0.05 * (high - low)


def draw(chart: Chart, form: Literal["svg", "pdf"], *, is_log: bool = False) -> bytes:
    """Draw a chart, which must hold a finite value, as the content of a file; `is_log`: with a logarithmic scale."""
    import matplotlib as mpl

    nothing = {"svg": ("Creator", "Date", "Format", "Type"), "pdf": ("Creator", "Producer", "CreationDate")}[form]
    stream = io.BytesIO()
    with mpl.rc_context(SETTINGS):  # the same bytes for the same chart
        figure = build_figure(chart, is_log=is_log)
        figure.savefig(stream, format=form, transparent=True, metadata=dict.fromkeys(nothing))
    return stream.getvalue()


def build_figure(chart: Chart, *, is_log: bool = False) -> "Figure":
    """Build the figure of a chart: axes with ticks, lines, and labels at the ends of a few."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.subplots()
    labels = _labels(chart)
    right = RIGHT - min(max(map(len, labels), default=0), MAX_LETTERS) * LETTER
    figure.subplots_adjust(left=LEFT, bottom=BOTTOM, top=TOP, right=right)
    for line in reversed(chart.lines):
        _draw_line(axes, line)
    _set_scales(axes, chart, is_log=is_log)
    axes.autoscale_view()  # what follows is placed by the limits
    for point, words in chart.marks:
        _mark(axes, point, words)
    _place_labels(axes, labels)
    return figure


def _values(chart: Chart) -> list[float]:
    return [y for line in chart.lines for _, y in line.points if math.isfinite(y)]


def _draw_line(axes: "Axes", line: Line) -> None:
    xs, ys = zip(*line.points, strict=True)
    style: dict[str, Any] = STYLES[line.kind] | {"color": COLOURS[line.colour]}
    if line.kind == "line" and len(line.points) <= MAX_MARKERS:
        style |= {"marker": "o", "markersize": 3 if len(line.points) > 1 else 5}
    axes.plot(xs, ys, linestyle=DASHES.get(line.kind, "-"), solid_joinstyle="round", **style)


def _set_scales(axes: "Axes", chart: Chart, *, is_log: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axes.set_xlabel(chart.x_label, color=SOFT)
    is_whole_x = all(x == round(x) for line in chart.lines for x, _ in line.points)
    for axis, is_log_axis, is_whole in ((axes.xaxis, chart.is_log_x, is_whole_x), (axes.yaxis, is_log, False)):
        if is_log_axis:
            getattr(axes, f"set_{axis.axis_name}scale")("log")
            low, high = axis.get_view_interval()
            few = high < 100 * low
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=6))
            axis.set_minor_formatter(NullFormatter())
        else:
            axis.set_major_locator(MaxNLocator(5, integer=is_whole, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.tick_params(colors=SOFT, width=0.6, length=3)
    axes.tick_params(axis="y", which="both", length=0)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)


def _mark(axes: "Axes", point: Point, words: str) -> None:
    axes.plot(*point, marker="o", markersize=7, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1)
    share_x, share_y = axes.transAxes.inverted().transform(axes.transData.transform(point))
    axes.annotate(
        f"{words} {number(point[1])}",
        point,
        xytext=(0, -13 if share_y > 0.8 else 7),
        textcoords="offset points",
        ha="right" if share_x > 0.5 else "left",
        color=INK,
    )


def _labels(chart: Chart) -> dict[str, Line]:
    """Return the lines that are labelled at their ends; none where there are too many, or is one."""
    labels = {line.label: line for line in reversed(chart.lines) if line.label}
    return labels if len(chart.lines) > 1 and len(labels) <= MAX_LABELS else {}


def _place_labels(axes: "Axes", labels: dict[str, Line]) -> None:
    to_share = (axes.transData + axes.transAxes.inverted()).transform
    ends = sorted((float(to_share(_last(line.points))[1]), label) for label, line in labels.items())
    for place, (_, label) in zip(spread([place for place, _ in ends]), ends, strict=True):
        colour = COLOURS[labels[label].colour]
        axes.annotate(
            label if len(label) <= MAX_LETTERS else f"{label[: MAX_LETTERS - 1]}…",
            (1, place),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=colour,
        )


def _last(points: Sequence[Point]) -> Point:
    return next(point for point in reversed(points) if math.isfinite(point[1]))


def spread(places: Sequence[float]) -> Iterator[float]:
    """Yield sorted places, moved apart so that labels do not touch, as far as 0 and 1 leave room."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + LABEL_GAP) if moved else max(place, 0.0))
    for index in range(len(moved) - 1, -1, -1):
        limit = 1.0 if index == len(moved) - 1 else moved[index + 1] - LABEL_GAP
        moved[index] = min(moved[index], limit)
    yield from moved

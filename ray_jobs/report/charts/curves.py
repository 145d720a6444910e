"""Drawing of a chart as SVG: axes with ticks, downsampled lines, labels at their ends."""

import math
from collections.abc import Iterator, Sequence

from ray_jobs.report.charts.axis import Axis, build_axis
from ray_jobs.report.charts.chart import Chart, Line, Point
from ray_jobs.report.charts.downsample import split_at_gaps, thin
from ray_jobs.report.format_numbers import number, short
from ray_jobs.report.html import Markup, join, tag

WIDTH, HEIGHT = 460, 236
LEFT, TOP, BOTTOM, EDGE = 52, 12, 34, 14
LETTER, LABEL_GAP = 6.2, 13
MAX_LABELS, MAX_MARKERS = 8, 40
LOG_RATIO = 10
"""Least ratio of greatest to least value at which a chart is also drawn with a logarithmic scale."""


def can_be_log(chart: Chart) -> bool:
    """Return whether a logarithmic scale shows what a linear one does not."""
    values = _values(chart)
    return min(values) > 0 and max(values) >= LOG_RATIO * min(values)


def opens_log(chart: Chart) -> bool:
    """Return whether half of all values are so low that a linear scale would hide them."""
    values = sorted(_values(chart))
    low, middle, high = values[0], values[len(values) // 2], values[-1]
    return can_be_log(chart) and middle - low < 0.05 * (high - low)


def draw(chart: Chart, *, is_log: bool = False) -> Markup:
    """Draw a chart, which must hold a finite value, as an `svg` element as wide as its surroundings."""
    xs = [x for line in chart.lines for x, _ in line.points]
    values = _values(chart)
    labels = [line.label for line in chart.lines if line.label] if _has_labels(chart) else []
    right = WIDTH - EDGE - (max(map(len, labels)) * LETTER + 6 if labels else 0)
    x_axis = build_axis(min(xs), max(xs), LEFT, right, is_log=chart.is_log_x, pad=0.0)
    y_axis = build_axis(min(values), max(values), HEIGHT - BOTTOM, TOP, is_log=is_log)
    return tag(
        "svg",
        _grid(chart, x_axis, y_axis),
        [_line(line, x_axis, y_axis) for line in reversed(chart.lines)],
        [_mark(point, words, x_axis, y_axis) for point, words in chart.marks],
        _labels(chart, right, y_axis) if labels else None,
        class_="plot",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{chart.title} over {chart.x_label}",
        data_x=_range(x_axis, is_whole=_is_whole(chart)),
        data_y=_range(y_axis),
        data_label=chart.x_label,
    )


def _values(chart: Chart) -> list[float]:
    return [y for line in chart.lines for _, y in line.points if math.isfinite(y)]


def _has_labels(chart: Chart) -> bool:
    return len(chart.lines) > 1 and len({line.label for line in chart.lines if line.label}) <= MAX_LABELS


def _is_whole(chart: Chart) -> bool:
    return all(x == round(x) for line in chart.lines for x, _ in line.points)


def _range(axis: Axis, *, is_whole: bool = False) -> str:
    """Describe an axis for the script that shows what is under the mouse: both values, both pixels, and the scale."""
    kind = "log" if axis.is_log else "whole" if is_whole else "linear"
    return f"{axis.low:.9g} {axis.high:.9g} {axis.start:g} {axis.end:g} {kind}"


def _grid(chart: Chart, x_axis: Axis, y_axis: Axis) -> Markup:
    lines, words = [], []
    for value in y_axis.ticks:
        y = f"{y_axis.place(value):.1f}"
        lines.append(tag("line", x1=LEFT, x2=f"{x_axis.end:.1f}", y1=y, y2=y))
        words.append(tag("text", short(value), x=LEFT - 6, y=y, dy=".35em", text_anchor="end"))
    for value in (tick for tick in x_axis.ticks if tick == round(tick) or not _is_whole(chart)):
        x = f"{x_axis.place(value):.1f}"
        words.append(tag("line", x1=x, x2=x, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4))
        words.append(tag("text", short(value), x=x, y=HEIGHT - BOTTOM + 15, text_anchor="middle"))
    base = tag("line", x1=LEFT, x2=f"{x_axis.end:.1f}", y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM)
    middle = f"{(x_axis.start + x_axis.end) / 2:.1f}"
    title = tag("text", chart.x_label, x=middle, y=HEIGHT - 4, text_anchor="middle")
    return join([tag("g", lines, class_="grid"), tag("g", base, words, title, class_="axis")])


def _line(line: Line, x_axis: Axis, y_axis: Axis) -> Markup:
    parts = []
    for stretch in split_at_gaps(line.points):
        thinned = thin(stretch, lambda x: round(x_axis.place(x)))
        places = " ".join(f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in thinned)
        parts.append(tag("polyline", points=places))
        if line.kind == "line" and len(line.points) <= MAX_MARKERS:
            radius = 2.4 if len(line.points) > 1 else 4
            parts.append(join(_dot(point, x_axis, y_axis, radius) for point in stretch))
    return tag("g", parts, class_=f"{line.kind} {line.colour}", data_name=line.name)


def _dot(point: Point, x_axis: Axis, y_axis: Axis, radius: float) -> Markup:
    return tag("circle", cx=f"{x_axis.place(point[0]):.1f}", cy=f"{y_axis.place(point[1]):.1f}", r=radius)


def _mark(point: Point, words: str, x_axis: Axis, y_axis: Axis) -> Markup:
    x, y = x_axis.place(point[0]), y_axis.place(point[1])
    text = tag(
        "text",
        f"{words} {number(point[1])}",
        x=f"{x:.1f}",
        y=f"{y + (16 if y < TOP + 20 else -9):.1f}",
        text_anchor="end" if x > (x_axis.start + x_axis.end) / 2 else "start",
    )
    return tag("g", _dot(point, x_axis, y_axis, 4.5), text, class_="mark")


def _labels(chart: Chart, right: float, y_axis: Axis) -> Markup:
    ends = {line.label: (_last(line.points), line) for line in reversed(chart.lines) if line.label}
    wanted = sorted(((y_axis.place(value), line) for value, line in ends.values()), key=lambda pair: pair[0])
    places = list(spread([y for y, _ in wanted], TOP, HEIGHT - BOTTOM))
    return tag(
        "g",
        [
            tag("text", line.label, x=f"{right + 6:.1f}", y=f"{y:.1f}", dy=".35em", class_=line.colour)
            for y, (_, line) in zip(places, wanted, strict=True)
        ],
        class_="ends",
    )


def _last(points: Sequence[Point]) -> float:
    return next(y for _, y in reversed(points) if math.isfinite(y))


def spread(places: Sequence[float], low: float, high: float) -> Iterator[float]:
    """Yield sorted places, moved apart so that labels do not touch, as far as `low` and `high` leave room."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + LABEL_GAP) if moved else max(place, low))
    for index in range(len(moved) - 1, -1, -1):
        limit = high if index == len(moved) - 1 else moved[index + 1] - LABEL_GAP
        moved[index] = min(moved[index], limit)
    yield from moved

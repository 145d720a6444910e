"""Page of one run."""

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

from ray_jobs.console import format_duration
from ray_jobs.report.charts.chart import Chart, Line, Point
from ray_jobs.report.charts.chart_groups import BASELINE, group, profiles
from ray_jobs.report.format_numbers import number
from ray_jobs.report.html import Markup, join, tag
from ray_jobs.report.page.lineage import environment_cards, lineage_card, settings_cards
from ray_jobs.report.page.page import Link, build_page, card, chart_grid, facts, heading, linked, state_chip, table
from ray_jobs.report.page.pictures import gallery_grid, table_cards
from ray_jobs.report.page.results import results
from ray_jobs.report.record.gallery import Budget, Gallery, gather_galleries, read_cell
from ray_jobs.report.record.run_record import RunRecord
from ray_jobs.report.record.table import gather_tables
from trainables.run_paths import EVALUATIONS

MAX_WARNINGS = 30


def build_run_page(run: RunRecord, link: Link) -> bytes:
    """Build the complete HTML file; `link` finds the report of another run or search."""
    budget = Budget()
    galleries = gather_galleries(run.folder, run.last_step, budget)
    drawn, left_out = pick(group(run.curves, run.goal, run.best_step))
    titles = (f"best model, step {run.best_step:,}" if run.best_step else "", f"last, step {run.last_step:,}")
    tables = table_cards(gather_tables(run.folder), lambda name: read_cell(run.folder, name, budget))
    sections: list[tuple[str, Any]] = [
        ("Results", results(run.best, run.last, run.goal, titles, list(run.curves))),
        ("Curves", [chart_grid([*drawn, *profiles(run.curves)], "curve"), _left_out(left_out)] if drawn else None),
        ("Pictures", gallery_grid(galleries)),
        ("Tables", tables),
        ("Evaluations", _evaluations(run, budget)),
        ("Speed and machine", chart_grid(_speed_charts(run.speed), "speed")),
        ("Settings", settings_cards(run.settings)),
        ("Warnings", _warnings(run.warnings)),
        ("Lineage", lineage_card(run.inputs, link)),
        ("Environment", environment_cards(run)),
    ]
    return build_page(run.identity.name, sections, _head(run, link), _foot(run, galleries))


def _head(run: RunRecord, link: Link) -> Markup:
    identity, workload = run.identity, (run.settings.get("workload") or {}).get("name", "")
    words = [workload, f"run {run.run_id}" if run.run_id != identity.name else "", f"begun {identity.started}"]
    words += [f"tags {', '.join(identity.tags)}" if set(identity.tags) - {workload, "sweep"} else ""]
    group_words = linked(f"group {identity.group}", link(identity.group)) if identity.group else None
    notes = (run.settings.get("tracking") or {}).get("notes")
    return join(
        [
            heading(identity.name),
            tag("p", " · ".join(filter(None, words)), " · " if group_words else None, group_words, class_="sub"),
            tag("p", state_chip(run.state)),
            tag("p", notes, class_="notes") if notes else None,
            facts(_facts(run)),
        ]
    )


def _facts(run: RunRecord) -> list[tuple[str, str, str]]:
    last, items = run.events[-1] if run.events else {}, []
    goal = run.goal or ""
    value = run.best.get(goal, run.last.get(goal))
    if value is not None:
        baseline = run.last.get(f"{BASELINE}{goal}")
        words = [f"best, step {run.best_step:,}" if run.best_step and goal in run.best else "last"]
        words += [f"baseline {number(baseline)}"] if baseline is not None else []
        items.append((goal, number(value), ", ".join(words)))
    if last:
        done = f"{run.last_step:,} of {last['num_steps']:,} steps"
        epoch = last["epoch"] if run.state.kind == "finished" or last["step_in_epoch"] else last["epoch"] - 1
        items.append(("epochs", f"{epoch:,} of {last['num_epochs']:,}", done))
        starts = sum(is_start for is_start, _ in groupby("resumed_from" in event for event in run.events))
        words = f"in {starts} starts" if starts > 1 else "in one start"
        items.append(("trained for", format_duration(_seconds(run.events)), words))
    if speeds := [value for _, value in run.speed.get("samples/s", ())]:
        memory = max((value for _, value in run.speed["peak MiB"]), default=0.0)
        items.append(
            ("samples/s", number(float(f"{statistics.median(speeds):.3g}")), f"median; peak {memory:,.0f} MiB")
        )
    return items


def _seconds(events: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds between reports, without the pauses between a stop and the next start."""
    steps = pairwise(events)
    return sum(later["time"] - earlier["time"] for earlier, later in steps if "resumed_from" not in later)


def pick(charts: Sequence[Chart]) -> tuple[list[Chart], list[Chart]]:
    """Split charts into those that show a change, and those of one value."""
    is_worth = [any(len({y for _, y in line.points}) > 1 for line in chart.lines) for chart in charts]
    worth = [chart for chart, is_one in zip(charts, is_worth, strict=True) if is_one]
    return worth, [chart for chart, is_one in zip(charts, is_worth, strict=True) if not is_one]


def _left_out(charts: Sequence[Chart]) -> Markup | None:
    words = [f"{line.name} {number(line.points[-1][1])}" for chart in charts for line in chart.lines]
    return tag("p", f"Measured once, or always the same: {', '.join(words)}.", class_="note") if words else None


def _speed_charts(speed: Mapping[str, Sequence[Point]]) -> list[Chart]:
    """Build a chart for each measure; those of the machine have a line for each rank."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in speed:
        groups[name.rpartition("/")[2] if name.startswith("system/") else name].append(name)
    charts = []
    for title, names in groups.items():
        labels = ["" if len(names) == 1 else name.split("/")[1].replace("_", " ") for name in names]
        lines = [
            Line(name, label, speed[name], f"c{index % 8}")
            for index, (name, label) in enumerate(zip(names, labels, strict=True))
        ]
        charts.append(Chart(title, lines, has_legend=len(names) > 1))
    return [chart for chart in charts if any(len(line.points) > 1 for line in chart.lines)]


def _evaluations(run: RunRecord, budget: Budget) -> Markup | None:
    """Build the card of what the `evaluate` verb found, with the pictures of the newest evaluation."""
    if not run.evaluations:
        return None
    names = list(dict.fromkeys(name for found in run.evaluations.values() for name in found.get("metrics", {})))
    columns = ["", "model", "settings", *(name for name in names if not name.startswith(BASELINE))]
    rows = []
    for index, found in run.evaluations.items():
        given = ", ".join(f"{key}={value}" for key, value in found.get("settings", {}).items())
        metrics = found.get("metrics", {})
        values = [number(metrics.get(name)) for name in columns[3:]]
        rows.append([index, str(found.get("checkpoint", "")).rpartition("/")[2], given, *values])
        if any(name.startswith(BASELINE) for name in metrics):
            rows.append(["", "baseline", "", *(number(metrics.get(BASELINE + name)) for name in columns[3:])])
    newest = run.folder / f"{EVALUATIONS}/{max(run.evaluations)}"
    pictures = gather_galleries(newest, until_step=10**12, budget=budget)
    return join([card(table(columns, rows, range(3, len(columns)))), gallery_grid(pictures)])


def _warnings(lines: Sequence[str]) -> Markup | None:
    if not lines:
        return None
    left_out = len(lines) - MAX_WARNINGS
    words = tag("p", f"{left_out} earlier ones in train.log", class_="note") if left_out > 0 else None
    return card(words, tag("pre", "\n".join(lines[-MAX_WARNINGS:])), is_long=True)


def _foot(run: RunRecord, galleries: Sequence[Gallery]) -> Markup:
    left_out = sum(gallery.num_all - len(gallery.pictures) for gallery in galleries)
    words = [f"Made {time.strftime('%Y-%m-%d %H:%M:%S %z')} from {run.folder}."]
    words += [f"{left_out:,} pictures are left out; they lie there under pictures/."] if left_out else []
    words.append("Curves of many points keep the lowest and the highest of every column of pixels.")
    return join(words if len(words) < 2 else [" ".join(words)])

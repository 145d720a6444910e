"""Page that compares runs: first where their settings differ, then what came out."""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ray_jobs.console import format_duration
from ray_jobs.report.charts.chart import Chart, Line
from ray_jobs.report.charts.chart_groups import BASELINE, is_measured, read_name
from ray_jobs.report.format_numbers import number
from ray_jobs.report.page.content import Card, Cell, Charts, FactGroup, FindReport, Page, Section, Table, Text, Words
from ray_jobs.report.page.headline import headline, median, trained_seconds
from ray_jobs.report.page.lineage import setting_words
from ray_jobs.report.record.run_record import RunRecord
from ray_jobs.report.record.settings import PLUMBING
from ray_jobs.runs.setting_differences import flatten

MAX_CHARTS = 24
COST = "macs"
"""The metric over which scores are drawn where the runs differ in it."""


def build_comparison_page(runs: Sequence[RunRecord], find_report: FindReport) -> Page:
    """Build the page; `find_report` finds the reports of the single runs."""
    names = _names(runs)
    heads = [Words(name, find_report(run.run_id)) for name, run in zip(names, runs, strict=True)]
    charts = [*_over_cost(runs, names), *_curves(runs, names)]
    left_out = len(charts) - MAX_CHARTS
    words = [Text(f"{left_out} more charts are left out.", is_note=True)] if left_out > 0 else []
    sections = [
        Section("Settings that differ", [Card([_settings(runs, heads)], is_long=True)]),
        Section("Results", [Card([_results(runs, heads)], is_long=True)]),
        Section("Curves", [Charts(charts[:MAX_CHARTS]), *words] if charts else []),
        Section("Runs", [Card([_runs(runs, heads)], is_long=True)]),
    ]
    scores = [
        FactGroup(name, [fact for group in headline(run)[:-1] for fact in group.facts])
        for name, run in zip(names, runs, strict=True)
    ]
    return Page(
        title=f"{len(runs)} runs compared",
        sub=heads,
        state=None,
        notes="",
        facts=scores,
        sections=sections,
        foot=f"Made {time.strftime('%Y-%m-%d %H:%M:%S %z')}.",
    )


def _names(runs: Sequence[RunRecord]) -> list[str]:
    """Return the runs' names, or those of their folders where names are given twice."""
    names = [run.identity.name for run in runs]
    return names if len(set(names)) == len(names) else [run.run_id for run in runs]


def _settings(runs: Sequence[RunRecord], heads: Sequence[Words]) -> Table | Text:
    found = [flatten(run.settings) for run in runs]
    keys = list(dict.fromkeys(key for settings in found for key in settings))
    rows: list[list[Cell]] = []
    for key in keys:
        values = [setting_words(settings[key]) if key in settings else "-" for settings in found]
        if len(set(values)) > 1 and (key == "workload.name" or not key.startswith(PLUMBING)):
            rows.append([Words(key, style="mono"), *(Words(value, style="mono") for value in values)])
    return Table("settings", ["setting", *heads], rows) if rows else Text("All settings are the same.")


def _results(runs: Sequence[RunRecord], heads: Sequence[Words]) -> Table:
    found = [run.best or run.last for run in runs]
    goals = [run.goal for run in runs]
    names = list(dict.fromkeys([*filter(None, goals), *(name for metrics in found for name in metrics)]))
    names = [name for name in names if is_measured(name) and not name.startswith((BASELINE, "train/"))]
    rows: list[list[Cell]] = []
    for name in names:
        rows.append([name, *(metrics.get(name) for metrics in found)])
        if name in goals and any(BASELINE + name in metrics for metrics in found):
            rows.append([f"{BASELINE}{name}", *(metrics.get(BASELINE + name) for metrics in found)])
    strong = frozenset(index for index, row in enumerate(rows) if row[0] in goals)
    return Table("results", ["best model", *heads], rows, frozenset(range(1, len(runs) + 1)), strong, is_tall=True)


def _runs(runs: Sequence[RunRecord], heads: Sequence[Words]) -> Table:
    rows = []
    for head, run in zip(heads, runs, strict=True):
        speeds = [value for _, value in run.speed.get("samples/s", ())]
        environment: dict[str, Any] = dict(run.environment)
        rows.append(
            [
                head,
                " ".join(filter(None, (run.state.kind, run.state.words))),
                f"{run.last_step:,}",
                format_duration(trained_seconds(run.events)),
                median(speeds) if speeds else None,
                number(run.num_parameters),
                str(environment.get("seed", "")),
                (environment.get("git_commit") or "")[:10],
            ]
        )
    columns = ["run", "state", "steps", "trained for", "samples/s", "parameters", "seed", "commit"]
    return Table("runs", columns, rows, frozenset(range(2, 7)))


def _curves(runs: Sequence[RunRecord], names: Sequence[str]) -> list[Chart]:
    """Build a chart for each metric that several runs have and that changes, the goals first, evaluations next."""
    found: dict[str, list[Line]] = defaultdict(list)
    for index, (name, run) in enumerate(zip(names, runs, strict=True)):
        for metric, points in run.curves.items():
            if not metric.startswith(BASELINE):
                found[metric].append(Line(name, name, points, f"c{index % 8}"))
    goals = {run.goal for run in runs}
    shared = [chart for metric, lines in found.items() if len(lines) > 1 and (chart := Chart(metric, lines)).has_change]
    return sorted(shared, key=lambda chart: (chart.title not in goals, read_name(chart.title).split in ("", "train")))


def _over_cost(runs: Sequence[RunRecord], names: Sequence[str]) -> list[Chart]:
    """Build the chart of the score that the runs share over multiply-accumulates, where they differ in them."""
    goals = {run.goal for run in runs}
    found = [run.best or run.last for run in runs]
    costs = [metrics.get(COST) for metrics in found]
    if len(goals) > 1 or None in goals or None in costs or len(set(costs)) < 2:
        return []
    goal = str(goals.pop())
    lines = [
        Line(name, name, [(float(cost or 0.0), metrics[goal])], f"c{index % 8}")
        for index, (name, cost, metrics) in enumerate(zip(names, costs, found, strict=True))
        if goal in metrics
    ]
    return [Chart(f"{goal} over MACs", lines, x_label="multiply-accumulates")] if len(lines) > 1 else []

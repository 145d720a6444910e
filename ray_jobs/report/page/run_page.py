"""Page of one run."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from ray_jobs.report.charts.chart import Chart, Line, Point
from ray_jobs.report.charts.chart_groups import BASELINE, group, profiles
from ray_jobs.report.format_numbers import number
from ray_jobs.report.page.content import (
    Card,
    Cell,
    CellBar,
    CellPicture,
    Charts,
    FindReport,
    Folded,
    Galleries,
    Page,
    Part,
    Section,
    Table,
    Text,
    Words,
    present,
)
from ray_jobs.report.page.headline import headline, num_learnt
from ray_jobs.report.page.lineage import environment_cards, input_card, settings_cards
from ray_jobs.report.page.results import results
from ray_jobs.report.record.gallery import Budget, Gallery, gather_galleries, read_cell
from ray_jobs.report.record.run_record import RunRecord
from ray_jobs.report.record.table import Row, StoredTable, gather_tables
from trainables.run_paths import EVALUATIONS

MAX_WARNINGS = 30
MAX_COLUMNS = 6
"""Most metrics of an evaluation that have a column each; more are in rows, a column for each evaluation."""
ReadPicture = Callable[[str], str | None]
"""Returns the data URI of a picture that a cell names, or None."""


def build_run_page(run: RunRecord, find_report: FindReport) -> Page:
    """Build the page; `find_report` finds the report of another run or search."""
    budget = Budget()
    galleries = gather_galleries(run.folder, run.last_step, budget)
    drawn, constant = pick(group(run.curves, run.goal, run.best_step))
    titles = (f"best model, step {run.best_step:,}" if run.best_step else "", f"last, step {run.last_step:,}")
    curves = present(Charts([*drawn, *profiles(run.curves)]), _name_constant(constant)) if drawn else []
    speed = _speed_charts(run.speed)
    tables = [table_card(each, lambda name: read_cell(run.folder, name, budget)) for each in gather_tables(run.folder)]
    sections = [
        Section("Results", results(run.best, run.last, run.goal, titles, list(run.curves))),
        Section("Curves", curves),
        Section("Pictures", [Galleries(galleries)] if galleries else []),
        Section("Tables", tables),
        Section("Evaluations", _evaluations(run, budget)),
        Section("Speed and machine", [Charts(speed)] if speed else []),
        Section("Settings", settings_cards(run.settings)),
        Section("Warnings", _warnings(run.warnings)),
        Section("Lineage", [input_card(each, find_report) for each in run.inputs]),
        Section("Environment", environment_cards(run)),
    ]
    return Page(
        title=run.identity.name,
        sub=_sub(run, find_report),
        state=run.state,
        notes=(run.settings.get("tracking") or {}).get("notes") or "",
        facts=headline(run),
        sections=sections,
        foot=_foot(run, galleries),
    )


def _sub(run: RunRecord, find_report: FindReport) -> list[Words]:
    identity, workload = run.identity, (run.settings.get("workload") or {}).get("name", "")
    words = [workload, f"run {run.run_id}" if run.run_id != identity.name else "", f"begun {identity.started}"]
    words += [f"tags {', '.join(identity.tags)}" if set(identity.tags) - {workload, "sweep"} else ""]
    group_words = [Words(f"group {identity.group}", find_report(identity.group))] if identity.group else []
    return [*map(Words, filter(None, words)), *group_words]


def pick(charts: Sequence[Chart]) -> tuple[list[Chart], list[Chart]]:
    """Split charts into those that show a change, and those of one value."""
    return [chart for chart in charts if chart.has_change], [chart for chart in charts if not chart.has_change]


def _name_constant(charts: Sequence[Chart]) -> Text | None:
    words = [f"{line.name} {number(line.points[-1][1])}" for chart in charts for line in chart.lines]
    return Text(f"Measured once, or always the same: {', '.join(words)}.", is_note=True) if words else None


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


def _evaluations(run: RunRecord, budget: Budget) -> list[Part]:
    """Build the card of what the `evaluate` verb found, with the pictures of the newest evaluation."""
    if not run.evaluations:
        return []
    pictures = gather_galleries(run.folder / f"{EVALUATIONS}/{max(run.evaluations)}", until_step=10**12, budget=budget)
    return present(Card([_evaluation_table(run)], is_long=True), Galleries(pictures) if pictures else None)


def _evaluation_table(run: RunRecord) -> Table:
    """Build a row for each evaluation; where that would be too wide, a row for each metric."""
    names = list(dict.fromkeys(name for each in run.evaluations.values() for name in each.get("metrics", {})))
    names = [name for name in names if not name.startswith(BASELINE)]
    rows = []
    for index, each in run.evaluations.items():
        metrics, model = each.get("metrics", {}), str(each.get("checkpoint", "")).rpartition("/")[2]
        learnt = [f"on {count} subjects of its training"] if (count := num_learnt(each)) else []
        given = ", ".join([*(f"{key}={value}" for key, value in each.get("settings", {}).items()), *learnt])
        rows.append([index, model, given, *(metrics.get(name) for name in names)])
        if any(name.startswith(BASELINE) for name in metrics):
            rows.append(["", "baseline", "", *(metrics.get(BASELINE + name) for name in names)])
    if len(names) <= MAX_COLUMNS:
        columns = ["", "model", "settings", *names]
        return Table("evaluations", columns, rows, frozenset(range(3, len(columns))))
    columns = ["metric", *(" ".join(filter(None, row[:3])) for row in rows)]
    turned = [[name, *(row[place] for row in rows)] for place, name in enumerate(names, start=3)]
    return Table("evaluations", columns, turned, frozenset(range(1, len(columns))), is_tall=True)


def _warnings(lines: Sequence[str]) -> list[Part]:
    if not lines:
        return []
    left_out = len(lines) - MAX_WARNINGS
    words = Text(f"{left_out} earlier ones in train.log", is_note=True) if left_out > 0 else None
    return [Card(present(words, Text("\n".join(lines[-MAX_WARNINGS:]), is_verbatim=True)), is_long=True)]


def _foot(run: RunRecord, galleries: Sequence[Gallery]) -> str:
    left_out = sum(gallery.num_all - len(gallery.pictures) for gallery in galleries)
    words = [f"Made {time.strftime('%Y-%m-%d %H:%M:%S %z')} from {run.folder}."]
    words += [f"{left_out:,} pictures are left out; they lie there under pictures/."] if left_out else []
    return " ".join(words)


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

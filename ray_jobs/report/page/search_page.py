"""Page of a search."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ray_jobs.console import format_duration
from ray_jobs.report.charts.chart import Chart, Line
from ray_jobs.report.charts.chart_groups import NUM_SHADES
from ray_jobs.report.charts.drawing import LOG_RATIO
from ray_jobs.report.format_numbers import number
from ray_jobs.report.page.content import (
    Card,
    Charts,
    Columns,
    Fact,
    FactGroup,
    FindReport,
    Folded,
    Page,
    Part,
    Section,
    StoredPicture,
    Table,
    Text,
    Words,
)
from ray_jobs.report.page.lineage import settings_cards
from ray_jobs.report.record.gallery import shrink, to_uri
from ray_jobs.report.record.search_record import RankedTrial, SearchRecord
from ray_jobs.search.leaderboard import short_names
from ray_jobs.search.trials import word
from ray_jobs.settings.strict_yaml import dump_yaml, parse_yaml


def build_search_page(search: SearchRecord, find_report: FindReport) -> Page:
    """Build the page; `find_report` finds the report of a trial."""
    labels = list(dict.fromkeys(place.trial.label for place in search.places))
    groups = {label: [place for place in search.places if place.trial.label == label] for label in labels}
    charts = [chart for label, places in groups.items() for chart in _charts(search, label, places, len(labels) > 1)]
    pictures = [_picture(name, content) for name, content in search.pictures.items()]
    boards = [
        Card([_leaderboard(search, places, find_report, label)], label if len(labels) > 1 else "", is_long=True)
        for label, places in groups.items()
    ]
    sections = [
        Section("Leaderboard", boards),
        Section("Changes", _mutations(search)),
        Section("Curves", [Charts(charts)] if charts else []),
        Section("Pictures", [Columns(pictures, is_gallery=True)] if pictures else []),
        Section("Best settings", [part for name, text in search.best.items() for part in _best(name, text)]),
        Section("What is searched", _what(search)),
    ]
    tracking, setting = search.settings.get("tracking") or {}, search.settings.get("search") or {}
    workload = (search.settings.get("workload") or {}).get("name", "")
    scheduler = (setting.get("scheduler") or {}).get("name", "")
    return Page(
        title=search.name,
        sub=[Words(text) for text in ("search", workload, setting.get("searcher") or "", scheduler) if text],
        state=search.state,
        notes=tracking.get("notes") or "",
        facts=_facts(search),
        sections=sections,
        foot=f"Made {time.strftime('%Y-%m-%d %H:%M:%S %z')} from {search.folder}.",
    )


def _facts(search: SearchRecord) -> list[FactGroup]:
    groups = []
    if search.places and search.places[0].trial.objectives:
        first = search.places[0].trial
        scores = [
            Fact(metric, number(value), f"best, trial {first.number}")
            for metric, value in zip(search.objectives, first.objectives, strict=False)
        ]
        settings = [Fact(key, word(first.values.get(key)), "of the best") for key in search.keys[:4]]
        groups = [FactGroup("Chosen on", scores), FactGroup("Settings", settings)]
    seconds = sum(place.trial.seconds for place in search.places)
    return [*groups, FactGroup("Training", [Fact("trained for", format_duration(seconds), "all trials together")])]


def _leaderboard(search: SearchRecord, places: Sequence[RankedTrial], find_report: FindReport, label: str) -> Table:
    keys = search.keys
    columns = ["rank", "trial", *short_names(keys).values(), *search.objectives, "epoch", "seed", "time", "state", ""]
    rows = []
    for place in places:
        trial = place.trial
        rows.append(
            [
                place.rank or "",
                Words(place.run, find_report(place.run)),
                *(word(trial.values[key]) if key in trial.values else "" for key in keys),
                *trial.objectives,
                *[""] * (len(search.objectives) - len(trial.objectives)),
                f"{trial.epoch}/{trial.num_epochs}" if trial.num_epochs else "",
                trial.seed,
                format_duration(trial.seconds),
                trial.state,
                "" if trial.words == f"{trial.state} by the scheduler" else trial.words,
            ]
        )
    numeric = frozenset([0, *range(2, len(columns) - 2)])
    strong = frozenset(index for index, place in enumerate(places) if place.rank == 1)
    return Table(f"leaderboard {label}", columns, rows, numeric, strong, is_tall=True)


def _mutations(search: SearchRecord) -> list[Part]:
    """Build the card of what population-based training changed in running trials."""
    if not search.mutations:
        return []
    rows = [
        [f"trial {item.trial}", item.epoch, item.key, word(item.before), word(item.after)] for item in search.mutations
    ]
    columns = ["", "after epoch", "setting", "before", "went on from another's checkpoint with"]
    return [Card([Table("changes", columns, rows, frozenset([1, 3, 4]), is_tall=True)], is_long=True)]


def _charts(search: SearchRecord, label: str, places: Sequence[RankedTrial], has_title: bool) -> list[Chart]:
    """Build charts of all trials, the best darkest: the first objective over epochs, and over each numeric setting."""
    reached = [place for place in places if place.trial.objectives]
    if not reached or not search.objectives:
        return []
    shades = [f"r{index * (NUM_SHADES - 1) // max(len(reached) - 1, 1)}" for index in range(len(reached))]
    title = f"{search.objectives[0]}{f', {label}' if has_title else ''}"
    names = [f"trial {place.trial.number}" for place in reached]
    curves = [
        Line(name, name if index == 0 else "", place.curve or ((place.trial.epoch, place.trial.objectives[0]),), shade)
        for index, (name, place, shade) in enumerate(zip(names, reached, shades, strict=True))
    ]
    charts = [Chart(f"{title}, the best darkest", curves, x_label="epoch", has_legend=False)]
    for key in search.keys:
        values = [place.trial.values.get(key) for place in reached]
        numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) == len(values):
            dots = [
                Line(name, "", ((value, place.trial.objectives[0]),), shade)
                for name, value, place, shade in zip(names, numbers, reached, shades, strict=True)
            ]
            is_log = min(numbers) > 0 and max(numbers) > LOG_RATIO * min(numbers)
            short = key.rpartition(".")[2]
            charts.append(Chart(f"{title} over {short}", dots, x_label=key, has_legend=False, is_log_x=is_log))
    return charts


def _what(search: SearchRecord) -> list[Part]:
    """Build the card of the `search` section without what is not set, with all settings folded away."""
    given = _without_nothing(search.settings.get("search") or {})
    if not given:
        return []
    complete = Folded("all settings", [Text(dump_yaml(dict(search.settings)), is_verbatim=True)])
    return [Card([Text(dump_yaml(given), is_verbatim=True), complete], is_long=True)]


def _without_nothing(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: _without_nothing(part) for key, part in value.items() if part not in (None, [], {})}


def _picture(name: str, content: bytes) -> StoredPicture:
    data, ending, _ = shrink(content, ".png")
    return StoredPicture(name.removesuffix(".png").replace("_", " "), to_uri(data, ending))


def _best(name: str, text: str) -> list[Part]:
    """Build the cards of a file of best settings: its comment, and the settings that differ from the defaults."""
    head = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]
    return [Card([Text(line) for line in head], name), *settings_cards(parse_yaml(text), name.removesuffix(".yaml"))]

"""Page of a search."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ray_jobs.console import format_duration
from ray_jobs.report.charts.chart import Chart, Line
from ray_jobs.report.charts.chart_groups import NUM_SHADES
from ray_jobs.report.charts.curves import LOG_RATIO
from ray_jobs.report.format_numbers import number
from ray_jobs.report.html import Markup, join, tag
from ray_jobs.report.page.lineage import settings_cards
from ray_jobs.report.page.page import (
    Link,
    build_page,
    card,
    chart_grid,
    facts,
    folded,
    heading,
    linked,
    state_chip,
    table,
)
from ray_jobs.report.record.gallery import shrink, to_uri
from ray_jobs.report.record.search_record import RankedTrial, SearchRecord
from ray_jobs.search.leaderboard import short_names
from ray_jobs.search.trials import word
from ray_jobs.settings.strict_yaml import dump_yaml, parse_yaml


def build_search_page(search: SearchRecord, link: Link) -> bytes:
    """Build the complete HTML file; `link` finds the report of a trial."""
    labels = list(dict.fromkeys(place.trial.label for place in search.places))
    groups = {label: [place for place in search.places if place.trial.label == label] for label in labels}
    charts = [chart for label, places in groups.items() for chart in _charts(search, label, places, len(labels) > 1)]
    pictures = [_picture(name, content) for name, content in search.pictures.items()]
    sections: list[tuple[str, Any]] = [
        (
            "Leaderboard",
            join(_leaderboard(search, label, places, link, len(labels) > 1) for label, places in groups.items()),
        ),
        ("Changes", _mutations(search)),
        ("Curves", chart_grid(charts, "curve")),
        ("Pictures", tag("div", pictures, class_="galleries") if pictures else None),
        ("Best settings", join(_best(name, text) for name, text in search.best.items())),
        ("What is searched", _what(search)),
    ]
    foot = f"Made {time.strftime('%Y-%m-%d %H:%M:%S %z')} from {search.folder}."
    return build_page(search.name, sections, _head(search), foot)


def _head(search: SearchRecord) -> Markup:
    tracking, setting = search.settings.get("tracking") or {}, search.settings.get("search") or {}
    workload = (search.settings.get("workload") or {}).get("name", "")
    scheduler = (setting.get("scheduler") or {}).get("name", "")
    words = ["search", workload, setting.get("searcher") or "", scheduler]
    items: list[tuple[str, str, str]] = []
    if search.places and search.places[0].trial.objectives:
        first = search.places[0]
        items += [
            (metric, number(value), f"best, trial {first.trial.number}")
            for metric, value in zip(search.objectives, first.trial.objectives, strict=False)
        ]
        items += [(key, word(first.trial.values.get(key)), "of the best") for key in search.keys[:4]]
    seconds = sum(place.trial.seconds for place in search.places)
    items.append(("trained for", format_duration(seconds), "all trials together"))
    return join(
        [
            heading(search.name),
            tag("p", " · ".join(filter(None, words)), class_="sub"),
            tag("p", state_chip(search.state)),
            tag("p", tracking["notes"], class_="notes") if tracking.get("notes") else None,
            facts(items),
        ]
    )


def _leaderboard(
    search: SearchRecord, label: str, places: Sequence[RankedTrial], link: Link, has_title: bool
) -> Markup:
    keys = search.keys
    columns = ["rank", "trial", *short_names(keys).values(), *search.objectives, "epoch", "seed", "time", "state", ""]
    rows = []
    for place in places:
        trial = place.trial
        values = [*map(number, trial.objectives), *[""] * (len(search.objectives) - len(trial.objectives))]
        name = linked(place.run, link(place.run))
        settings = [word(trial.values[key]) if key in trial.values else "" for key in keys]
        epoch = f"{trial.epoch}/{trial.num_epochs}" if trial.num_epochs else ""
        words = "" if trial.words == f"{trial.state} by the scheduler" else trial.words
        rows.append(
            [
                place.rank or "",
                name,
                *settings,
                *values,
                epoch,
                trial.seed,
                format_duration(trial.seconds),
                trial.state,
                words,
            ]
        )
    numeric = [0, *range(2, len(columns) - 2)]
    shown = table(columns, rows, numeric, strong=[place.rank == 1 for place in places])
    return card(tag("h3", label) if has_title else None, tag("div", shown, class_="tall"), is_long=True)


def _mutations(search: SearchRecord) -> Markup | None:
    """Build the card of what population-based training changed in running trials."""
    if not search.mutations:
        return None
    rows = [
        [f"trial {item.trial}", item.epoch, item.key, word(item.before), word(item.after)] for item in search.mutations
    ]
    shown = table(["", "after epoch", "setting", "before", "went on from another's checkpoint with"], rows, [1, 3, 4])
    return card(tag("div", shown, class_="tall"), is_long=True)


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


def _what(search: SearchRecord) -> Markup | None:
    """Build the card of the `search` section without what is not set, with all settings folded away."""
    given = _without_nothing(search.settings.get("search") or {})
    if not given:
        return None
    return card(
        tag("pre", dump_yaml(given)), folded("all settings", tag("pre", dump_yaml(dict(search.settings)))), is_long=True
    )


def _without_nothing(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: _without_nothing(part) for key, part in value.items() if part not in (None, [], {})}


def _picture(name: str, content: bytes) -> Markup:
    data, ending, _ = shrink(content, ".png")
    figure = tag("figure", tag("img", src=to_uri(data, ending), alt=name, tabindex=0))
    return tag("div", tag("h3", name.removesuffix(".png").replace("_", " ")), figure, class_="gallery card block")


def _best(name: str, text: str) -> Markup:
    """Build the cards of a file of best settings: its comment, and the settings that differ from the defaults.

    All settings are folded away.
    """
    head = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]
    return join(
        [
            card(tag("h3", name), [tag("p", line) for line in head]),
            settings_cards(parse_yaml(text)),
        ]
    )

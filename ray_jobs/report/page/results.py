"""Metrics of the best and of the last model, beside their trivial baselines, as parts of a page."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ray_jobs.report.charts.chart_groups import BASELINE, read_name
from ray_jobs.report.format_numbers import number
from ray_jobs.report.html import Markup, tag
from ray_jobs.report.page.page import card, folded, table

MIN_SHARED = 3
"""Least number of metrics that splits must share to be shown side by side."""

ORDER = ("val", "eval", "test", "train")
Metrics = Mapping[str, float]


def results(
    best: Metrics, last: Metrics, goal: str | None, titles: tuple[str, str], order: Sequence[str]
) -> Markup | None:
    """Build the tables of results; None without metrics.

    Args:
        best: Metrics of the best model; empty without one.
        last: The last values.
        goal: The metric that decides which model is best; its row is emphasised.
        titles: Titles of the best and of the last model.
        order: All metrics, in the order of the record.
    """
    names = [name for name in (*order, *sorted(last.keys() | best.keys())) if not name.startswith(BASELINE)]
    names = [name for name in dict.fromkeys(names) if name != "train/epoch"]
    shared = find_shared(names)
    beside = {name for by_split in shared.values() for name in by_split.values()}
    rest = sorted(set(names) - beside, key=lambda name: (name != goal, names.index(name)))
    trained = [name for name in rest if name.startswith("train/")]
    parts = []
    if shared:
        main, title = (best, titles[0]) if best else (last, titles[1])
        other = folded(f"the same of {titles[1]}", _by_split(last, shared, goal)) if best else None
        parts.append(card(tag("h3", title), _by_split(main, shared, goal), other, is_long=True))
    for part in ([name for name in rest if name not in trained], trained):
        if part:
            parts.append(card(_list(best, last, part, goal, titles), is_long=True))
    return tag("div", parts, class_="two") if parts else None


def find_shared(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Find the metrics that several splits share: their names by split. Empty when there are few."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        words = read_name(name)
        if words.split and not words.is_mean:
            found["/".join(filter(None, (words.chart, words.member)))][words.split] = name
    shared = {stem: by_split for stem, by_split in found.items() if len(by_split) > 1}
    return shared if len(shared) >= MIN_SHARED else {}


def _by_split(metrics: Metrics, shared: Mapping[str, Mapping[str, str]], goal: str | None) -> Markup:
    splits = sorted({split for by_split in shared.values() for split in by_split}, key=ORDER.index)
    columns = [
        (split, is_baseline)
        for split in splits
        for is_baseline in (False, True)
        if not is_baseline or any(_baseline(names.get(split)) in metrics for names in shared.values())
    ]
    rows = []
    for stem, names in shared.items():
        cells = [
            metrics.get(_baseline(names.get(split)) if is_baseline else names.get(split, ""))
            for split, is_baseline in columns
        ]
        rows.append((goal in names.values(), [stem, *map(number, cells)]))
    head = ["metric", *("baseline" if is_baseline else split for split, is_baseline in columns)]
    return table(head, [row for _, row in rows], range(1, len(head)), strong=[is_goal for is_goal, _ in rows])


def _baseline(name: str | None) -> str:
    return f"{BASELINE}{name}"


def _list(best: Metrics, last: Metrics, names: Sequence[str], goal: str | None, titles: tuple[str, str]) -> Markup:
    columns = [*([titles[0]] if best else []), titles[1], "baseline"]
    rows = []
    for name in names:
        values = [*([best.get(name)] if best else []), last.get(name), last.get(_baseline(name))]
        rows.append([name, *map(number, values)])
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return table(["metric", *columns], rows, range(1, len(columns) + 1), strong=[name == goal for name in names])

"""Metrics of the best and of the last model, beside their trivial baselines, as parts of a page."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ray_jobs.report.charts.chart_groups import BASELINE, is_measured, read_name
from ray_jobs.report.page.content import Card, Columns, Folded, Part, Table, present

MIN_SHARED = 3
"""Least number of metrics that splits must share to be shown side by side."""

ORDER = ("val", "eval", "test", "train")
Metrics = Mapping[str, float]


def results(
    best: Metrics, last: Metrics, goal: str | None, titles: tuple[str, str], order: Sequence[str]
) -> list[Part]:
    """Build the tables of results; empty without metrics.

    `best` is empty without such a model, and the row of the goal is emphasised. `titles` are those of the best and of
    the last model, and `order` has all metrics, in the order of the record.
    """
    names = [name for name in (*order, *sorted(last.keys() | best.keys())) if not name.startswith(BASELINE)]
    names = list(filter(is_measured, dict.fromkeys(names)))
    shared = find_shared(names)
    beside = {name for by_split in shared.values() for name in by_split.values()}
    rest = sorted(set(names) - beside, key=lambda name: (name != goal, names.index(name)))
    trained = [name for name in rest if name.startswith("train/")]
    parts: list[Part] = []
    if shared:
        main, title = (best, titles[0]) if best else (last, titles[1])
        other = Folded(f"the same of {titles[1]}", [_by_split("results of the last", last, shared, goal)])
        parts.append(
            Card(present(_by_split("results", main, shared, goal), other if best else None), title, is_long=True)
        )
    for name, part in (("metrics", [name for name in rest if name not in trained]), ("training", trained)):
        if part:
            parts.append(Card([_list(name, best, last, part, goal, titles)], is_long=True))
    return [Columns(parts)] if parts else []


def find_shared(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Find the metrics that several splits share: their names by split. Empty when there are few."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        words = read_name(name)
        if words.split and not words.is_mean:
            found["/".join(filter(None, (words.chart, words.member)))][words.split] = name
    shared = {stem: by_split for stem, by_split in found.items() if len(by_split) > 1}
    return shared if len(shared) >= MIN_SHARED else {}


def _by_split(name: str, metrics: Metrics, shared: Mapping[str, Mapping[str, str]], goal: str | None) -> Table:
    splits = sorted({split for by_split in shared.values() for split in by_split}, key=ORDER.index)
    columns = [
        (split, is_baseline)
        for split in splits
        for is_baseline in (False, True)
        if not is_baseline or any(_baseline(names.get(split)) in metrics for names in shared.values())
    ]
    rows = [
        [
            stem,
            *(
                metrics.get(_baseline(names.get(split)) if is_baseline else names.get(split, ""))
                for split, is_baseline in columns
            ),
        ]
        for stem, names in shared.items()
    ]
    head = ["metric", *("baseline" if is_baseline else split for split, is_baseline in columns)]
    strong = [index for index, names in enumerate(shared.values()) if goal in names.values()]
    return Table(name, head, rows, frozenset(range(1, len(head))), frozenset(strong))


def _baseline(name: str | None) -> str:
    return f"{BASELINE}{name}"


def _list(
    name: str, best: Metrics, last: Metrics, metrics: Sequence[str], goal: str | None, titles: tuple[str, str]
) -> Table:
    columns = [*([titles[0]] if best else []), titles[1], "baseline"]
    rows = [
        [metric, *([best.get(metric)] if best else []), last.get(metric), last.get(_baseline(metric))]
        for metric in metrics
    ]
    if all(row[-1] is None for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    strong = frozenset(index for index, metric in enumerate(metrics) if metric == goal)
    return Table(name, ["metric", *columns], rows, frozenset(range(1, len(columns) + 1)), strong)

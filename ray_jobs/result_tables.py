"""Results of models beside their trivial baselines, as tables for people."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from data_pipelines.readers.natural_order import text_key
from ray_jobs.report.format_numbers import number
from ray_jobs.text_table import TextTable
from trainables.contract.workload_config import BASELINE, INTERVAL, WorkloadConfig

MARK = " *"
"""Follows the name of the metric that decides which model is best."""
POSITIONS = ("step", "epoch")


def is_result(name: str, workload: WorkloadConfig) -> bool:
    """Return whether a metric measures a model: no baseline, and no loss, rate or norm of the training."""
    parts = name.split("/")
    is_of_training = parts[0] in ("train", "baseline") or name in workload.metric_names.values()
    return not is_of_training and parts[-1] not in POSITIONS


def order_results(names: Sequence[str], workload: WorkloadConfig) -> list[str]:
    """Return the results among names of metrics: the selection metric first, the others in natural order."""
    goal = workload.selection_metric.metric
    found = (name for name in set(names) if is_result(name, workload))
    return sorted(found, key=lambda name: (name != goal, text_key(name)))


def tabulate_results(metrics: Mapping[str, float], workload: WorkloadConfig, *, title: str = "") -> TextTable:
    """Return a table of a model's results, with columns for baselines and confidence intervals if there are any."""
    names = without_ends(order_results(list(metrics), workload))
    intervals = [_interval(name, metrics) for name in names]
    shown = ["metric", "value", *(["95 % interval"] if any(intervals) else []), "baseline"]
    rows = [
        [
            _mark(name, workload),
            number(metrics[name]),
            *([interval] if any(intervals) else []),
            number(metrics.get(BASELINE + name)),
        ]
        for name, interval in zip(names, intervals, strict=True)
    ]
    return _table(shown, rows, title, workload)


def without_ends(names: Sequence[str]) -> list[str]:
    """Return the names but for the ends of intervals of others."""
    ends = {name + ending for name in names for ending in INTERVAL}
    return [name for name in names if name not in ends]


def _interval(name: str, metrics: Mapping[str, float]) -> str:
    ends = [metrics.get(name + ending) for ending in INTERVAL]
    return "" if None in ends else " to ".join(_with_equal_decimals(ends))


def tabulate_training(metrics: Mapping[str, float], *, title: str = "") -> TextTable:
    """Return a table of what a training without evaluation has measured of itself."""
    names = [name for name in metrics if not name.startswith(BASELINE) and name.split("/")[-1] not in POSITIONS]
    names.sort(key=text_key)
    return TextTable(["metric", "value"], [[name, number(metrics[name])] for name in names], title=title, numeric=(1,))


def compare_results(results: Mapping[str, Mapping[str, float]], workload: WorkloadConfig) -> TextTable:
    """Return a table with a row for each metric, a column for each model and one for the baseline that all share.

    A baseline that differs between the models has a row like any metric. The models are named by paths, and headed by
    the shortest ends of these that tell them apart.
    """
    found = list(results.values())
    names = without_ends(order_results([name for metrics in found for name in metrics], workload))
    rows = []
    for name in names:
        baselines = [metrics.get(BASELINE + name) for metrics in found]
        is_shared = len(set(baselines)) == 1
        values = [*(metrics.get(name) for metrics in found), baselines[0] if is_shared else None]
        rows.append([_mark(name, workload), *_with_equal_decimals(values)])
        if not is_shared:
            rows.append([BASELINE + name, *_with_equal_decimals([*baselines, None])])
    return _table(["metric", *shortest_ends(list(results)), "baseline"], rows, "", workload)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str, workload: WorkloadConfig) -> TextTable:
    """Return the table without a last column that is empty, its selection metric standing out."""
    width = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
    goal = workload.selection_metric.metric + MARK
    return TextTable(
        columns[:width],
        [row[:width] for row in rows],
        title=title,
        numeric=range(1, width),
        strong=[position for position, row in enumerate(rows) if row[0] == goal],
    )


def explain_mark(workload: WorkloadConfig, metrics: Collection[str]) -> list[str]:
    """Return the line below a table that says what its mark means; none when no metric is marked."""
    goal = workload.selection_metric
    if goal.metric not in metrics:
        return []
    return [f"{MARK.strip()} decides which model is best: the {'lower' if goal.mode == 'min' else 'higher'} the better"]


def _mark(name: str, workload: WorkloadConfig) -> str:
    return name + (MARK if name == workload.selection_metric.metric else "")


def _with_equal_decimals(values: Sequence[float | None]) -> list[str]:
    """Return four decimals of each value, so that they can be compared; none when all are whole numbers."""
    given = [value for value in values if value is not None]
    if all(value == round(value) for value in given) or any(0 < abs(value) < 1e-3 for value in given):
        return [number(value) for value in values]
    return ["" if value is None else f"{value:,.4f}" for value in values]


def shortest_ends(paths: Sequence[str]) -> list[str]:
    """Return the last parts of each path, as few as tell the paths apart."""
    parts = [PurePosixPath(path).parts for path in paths]
    for length in range(1, max(map(len, parts), default=0)):
        ends = ["/".join(each[-length:]) for each in parts]
        if len(set(ends)) == len(set(paths)):
            return ends
    return list(paths)

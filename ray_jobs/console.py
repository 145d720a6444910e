"""Lines of progress for people."""

from collections.abc import Mapping, Sequence

from trainables.contract.progress_snapshot import ProgressSnapshot
from trainables.contract.training_config import WorkloadConfig
from trainables.engine.files.messages import WorkerReport
from trainables.workloads import console_lines


class LogOnly(str):
    """A line for `train.log` that would be too long for a terminal."""


def describe_plainly(report: WorkerReport) -> Sequence[str]:
    """The line of a run whose workload is not known, with all that was evaluated; none when there is nothing new."""
    if not report["rows"]:
        return []
    row = report["rows"][-1]
    hidden = ("train/", "step", "epoch", "baseline/")
    names = [name for name in row if name == "train/loss" or not name.startswith(hidden)]
    return [format_progress(report, {name: row[name] for name in names})]


class Console:
    """Lines of progress of one start of a training; it knows how long evaluations have taken so far."""

    def __init__(self, workload: WorkloadConfig, batch_size: int):
        self._workload, self._batch_size = workload, batch_size
        self._steps, self._evaluation_s = 0, 0.0

    def __call__(self, report: WorkerReport) -> Sequence[str]:
        """The workload's own lines, if it has any; else position, loss, goal, speed and time left, and after an
        evaluation all metrics for the log."""
        self._steps += len(report["rows"])
        self._evaluation_s += report["speed"]["evaluation_s"] if report["rows"] else 0.0
        lines = console_lines(self._workload, progress_snapshot(report, self._batch_size))
        if lines is not None:
            return lines
        if not report["rows"]:
            return []
        row, goal = report["rows"][-1], self._workload.selection_metric.metric
        loss = self._workload.metric_names.get("train/loss", "train/loss")
        known = {**report["metrics"], **row}
        shown = {name: known[name] for name in (loss, goal) if name in known}
        line = format_progress(report, shown, evaluation_s=self._evaluation_s / self._steps)
        return [line, LogOnly(format_evaluation(row))] if goal in row else [line]


def progress_snapshot(report: WorkerReport, batch_size: int) -> ProgressSnapshot:
    """A report as a workload sees it."""
    row = report["rows"][-1] if report["rows"] else None
    begins = report["step_in_epoch"] == 0 or "resumed_from" in report
    speed = report["speed"]
    return ProgressSnapshot(
        epoch=report["epoch"],
        starts_epoch=begins and not report["is_finished"],
        learning_rate=report["learning_rate"],
        row=row,
        samples_done=batch_size * ((int(row["step"]) - 1) % report["steps_per_epoch"] + 1) if row else 0,
        samples_per_epoch=report["samples_per_epoch"],
        epoch_means=report["epoch_means"],
        computing_s=speed["computing_s"],
        waiting_s=speed["waiting_s"],
        evaluation_s=speed["evaluation_s"],
    )


def format_progress(report: WorkerReport, shown: Mapping[str, float], *, evaluation_s: float = 0.0) -> str:
    """For example `epoch 3/40  step 120/1600  train/loss 0.12  eval/fid 12.3 (baseline 80)  410 samples/s  eta 1m 20s`.

    `evaluation_s` is what evaluations take for each step of the training.
    """
    row, num_steps, speed = report["rows"][-1], report["num_steps"], report["speed"]
    step = int(row["step"])
    parts = [f"epoch {int(row['epoch'])}/{report['num_epochs']}", f"step {step}/{num_steps}"]
    parts += [f"{name} {value:.4g}{_beside(report, name)}" for name, value in shown.items()]
    if speed["step_s"]:
        parts.append(f"{speed['samples_per_s']:.0f} samples/s")
        if step < num_steps:
            parts.append(f"eta {format_duration((speed['step_s'] + evaluation_s) * (num_steps - step))}")
    return "  ".join(parts)


def _beside(report: WorkerReport, name: str) -> str:
    baseline = report["metrics"].get(f"baseline/{name}")
    return "" if baseline is None else f" (baseline {baseline:.4g})"


def format_evaluation(row: Mapping[str, float]) -> str:
    """Every metric of a row."""
    return "  ".join(
        f"{name} {value:.4g}" for name, value in row.items() if name not in ("step", "epoch", "train/epoch")
    )


def format_duration(seconds: float) -> str:
    """`45s`, `1m 20s`, `2h 05m`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"


def format_metrics(metrics: Mapping[str, float]) -> str:
    """A table of metrics, each beside its trivial baseline if it has one."""
    names = [name for name in metrics if not name.startswith("baseline/")]
    width = max((len(name) for name in names), default=0)
    lines = []
    for name in sorted(names):
        baseline = metrics.get(f"baseline/{name}")
        beside = "" if baseline is None else f"   (baseline {baseline:.4g})"
        lines.append(f"  {name:<{width}}  {metrics[name]:>10.4g}{beside}")
    return "\n".join(lines)


def format_value(value: object) -> str:
    """For example `parameters 195,974, latency 29.87` of a mapping; numbers with four digits or with commas."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {format_value(inner)}" for name, inner in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def format_counts(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """Lines of a table of what was counted in the prepared data, by split and group; none when there is nothing."""
    rows = [(split, group, numbers) for split, groups in counts.items() for group, numbers in groups.items()]
    names = list(dict.fromkeys(name for *_, numbers in rows for name in numbers))
    table = [["", "", *(name.replace("_", " ") for name in names)]]
    table += [[split, group, *(str(numbers.get(name, "")) for name in names)] for split, group, numbers in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            [*(cell.ljust(width) for cell, width in cells[:2]), *(cell.rjust(width) for cell, width in cells[2:])]
        )
        for cells in (list(zip(row, widths, strict=True)) for row in table)
    ]
    return lines if rows else []


def format_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table: one row for each named result, one column for each metric; baselines that all share come last.

    A baseline that differs between the results gets a column like any metric.
    """
    names = sorted({name for metrics in results.values() for name in metrics})
    shared = {
        name for name in names if name.startswith("baseline/") and len({m.get(name) for m in results.values()}) == 1
    }
    columns = [name for name in names if name not in shared]
    rows = [["checkpoint", *columns], ["---", *("---:" for _ in columns)]]
    for title, metrics in results.items():
        rows.append([title, *(_cell(metrics.get(name)) for name in columns)])
    if shared:
        some = next(iter(results.values()))
        rows.append(["baseline", *(_cell(some.get(f"baseline/{n}")) for n in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

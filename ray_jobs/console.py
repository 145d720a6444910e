"""Lines of progress for people."""

from collections.abc import Callable, Mapping, Sequence

from ray_jobs.text_table import align
from trainables.contract.progress_snapshot import ProgressSnapshot
from trainables.contract.workload_config import BASELINE, WorkloadConfig
from trainables.engine.files.messages import WorkerReport
from trainables.workloads import console_lines


class LogOnly(str):
    """A line for `train.log` that would be too long for a terminal."""


def describe_plainly(report: WorkerReport) -> Sequence[str]:
    """Return the line of a run whose workload is not known, with all that was evaluated; none without a new row."""
    if not report["rows"]:
        return []
    row = report["rows"][-1]
    hidden = ("train/", "step", "epoch", BASELINE)
    names = [name for name in row if name == "train/loss" or not name.startswith(hidden)]
    return [format_progress(report, {name: row[name] for name in names})]


FindRow = Callable[[str], Mapping[str, float] | None]
"""Finds the newest row with a metric; None when there is none."""


class Console:
    """Lines of progress of one start of a training; it knows how long evaluations have taken so far."""

    def __init__(self, workload: WorkloadConfig, batch_size: int, find_row: FindRow = lambda metric: None):
        """Describe the reports of a training.

        The workload has lines of its own, or a metric that decides which model is best. `find_row` looks among the rows
        of earlier starts, once the record holds those that a resumed run keeps.
        """
        self._workload, self._batch_size, self._find_row = workload, batch_size, find_row
        self._steps, self._evaluation_s = 0, 0.0
        self._evaluated: Mapping[str, float] | None = None
        """The newest row with the metric that decides which model is best."""

    def __call__(self, report: WorkerReport) -> Sequence[str]:
        """Return the workload's own lines, if it has any, else a line of progress.

        The line has position, loss, selection metric, speed and time left; after an evaluation all metrics follow for
        the log.
        """
        self._steps += len(report["rows"])
        self._evaluation_s += report["speed"]["evaluation_s"] if report["rows"] else 0.0
        self._note_evaluation(report)
        late = self._describe_late(report)
        lines = console_lines(self._workload, progress_snapshot(report, self._batch_size))
        if lines is not None:
            return [*late, *lines]
        row, goal = newest_row(report), self._workload.selection_metric.metric
        if row is None:
            return late
        loss = self._workload.metric_names.get("train/loss", "train/loss")
        shown = {loss: row[loss]} if loss in row else {}
        notes: dict[str, str] = {}
        if self._evaluated is not None:
            shown[goal] = self._evaluated[goal]
            notes = {goal: _name_age(self._evaluated, row)} if self._evaluated is not row else {}
        line = format_progress(report, shown, notes=notes, evaluation_s=self._evaluation_s / max(self._steps, 1))
        return [*late, line, LogOnly(format_evaluation(row))] if goal in row else [*late, line]

    def _describe_late(self, report: WorkerReport) -> list[str]:
        """Return a line for each evaluation of an earlier step, which was made beside the training."""
        goal, newest = self._workload.selection_metric.metric, newest_row(report)
        rows = [row for row in report["rows"] if goal in row and row is not newest]
        return [f"step {int(row['step'])} evaluated: {format_evaluation(_evaluated_values(row))}" for row in rows]

    def _note_evaluation(self, report: WorkerReport) -> None:
        goal = self._workload.selection_metric.metric
        if "resumed_from" in report:
            self._evaluated = self._find_row(goal) if report["resumed_from"] else None
        for row in report["rows"]:
            self._evaluated = row if goal in row else self._evaluated


def _name_age(evaluated: Mapping[str, float], row: Mapping[str, float]) -> str:
    """Return the epoch of an earlier evaluation; its step when it was in the same epoch."""
    if evaluated["epoch"] == row["epoch"]:
        return f"step {int(evaluated['step'])}"
    return f"epoch {int(evaluated['epoch'])}"


def newest_row(report: WorkerReport) -> Mapping[str, float] | None:
    """Return the row of the newest step in a report, recorded or not; None when it has none."""
    rows = report["rows"]
    return report.get("newest_row") or (rows[-1] if rows else None)


def _evaluated_values(row: Mapping[str, float]) -> Mapping[str, float]:
    return {name: value for name, value in row.items() if not name.startswith("train/")}


def progress_snapshot(report: WorkerReport, batch_size: int) -> ProgressSnapshot:
    """Return a report as a workload sees it."""
    row = newest_row(report)
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


def format_progress(
    report: WorkerReport,
    shown: Mapping[str, float],
    *,
    notes: Mapping[str, str] | None = None,
    evaluation_s: float = 0.0,
) -> str:
    """Return a line of progress, such as this one.

    `epoch 3/40  step 120/1600  train/loss 0.12  eval/fid 12.3 (epoch 2, baseline 80)  410 samples/s  eta 1m 20s`
    `notes` follow a metric's value in brackets, and its baseline follows them; `evaluation_s` are the seconds that
    evaluations take for each step of the training.
    """
    row, num_steps, speed = newest_row(report), report["num_steps"], report["speed"]
    assert row is not None, "a line of progress is that of a row"
    step = int(row["step"])
    parts = [f"epoch {int(row['epoch'])}/{report['num_epochs']}", f"step {step}/{num_steps}"]
    parts += [f"{name} {value:.4g}{_beside(report, name, notes or {})}" for name, value in shown.items()]
    if speed["step_s"]:
        parts.append(f"{speed['samples_per_s']:.0f} samples/s")
        if step < num_steps:
            parts.append(f"eta {format_duration((speed['step_s'] + evaluation_s) * (num_steps - step))}")
    return "  ".join(parts)


def _beside(report: WorkerReport, name: str, notes: Mapping[str, str]) -> str:
    baseline = report["metrics"].get(f"baseline/{name}")
    words = [*([notes[name]] if name in notes else []), *([f"baseline {baseline:.4g}"] if baseline is not None else [])]
    return f" ({', '.join(words)})" if words else ""


def format_evaluation(row: Mapping[str, float]) -> str:
    """Format every metric of a row."""
    return "  ".join(
        f"{name} {value:.4g}" for name, value in row.items() if name not in ("step", "epoch", "train/epoch")
    )


def format_duration(seconds: float) -> str:
    """Format a duration as `45s`, `1m 20s` or `2h 05m`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"


def format_value(value: object) -> str:
    """Format a value, a mapping as `parameters 195,974, latency 29.87`; numbers have four digits or commas."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {format_value(inner)}" for name, inner in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def format_counts(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """Return the lines of a table of counts in the prepared data, by split and group; none without counts."""
    rows = [(split, group, numbers) for split, groups in counts.items() for group, numbers in groups.items()]
    names = list(dict.fromkeys(name for *_, numbers in rows for name in numbers))
    table = [["", "", *(name.replace("_", " ") for name in names)]]
    table += [[split, group, *(str(numbers.get(name, "")) for name in names)] for split, group, numbers in rows]
    return align(table, numeric=range(2, len(table[0]))) if rows else []

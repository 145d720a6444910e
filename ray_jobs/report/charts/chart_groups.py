"""Grouping of metrics into charts: by names that differ only in split, epoch mean or last part."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_jobs.report.charts.chart import Chart, Line, Point, count_points
from trainables.contract.workload_config import BASELINE

COLOURS = {"": "c0", "train": "c0", "val": "c1", "eval": "c1", "test": "c2"}
"""Colours by split, the same on all charts."""
EVALUATED = ("val", "eval", "test")
NUM_SHADES = 8

Curves = Mapping[str, Sequence[Point]]
"""Points of every metric by name."""


@dataclass(frozen=True)
class Words:
    """Parts of a metric's name."""

    chart: str
    """What is measured: `loss`, `accuracy`."""
    split: str
    """`train`, `val`, ..., or nothing."""
    member: str
    """Rest of the name: `t+1` of `eval/mse/t+1`."""
    is_mean: bool
    """Whether the metric is a mean over an epoch."""


def read_name(name: str) -> Words:
    """Split a metric's name: for example `val_accuracy` and `val/accuracy` are both the accuracy on `val`."""
    first, *rest = name.removeprefix(BASELINE).split("/")
    split = ""
    if first in COLOURS and rest:
        split, (first, *rest) = first, rest
    elif match := re.fullmatch(r"(train|val|eval|test)_(.+)", first):
        split, first = match[1], match[2]
    return Words(first.removeprefix("epoch_"), split, "/".join(rest), first.startswith("epoch_"))


def is_measured(name: str) -> bool:
    """Return whether a name in a row of the record is a measure, and not a place in the run, as `val/epoch`."""
    return name not in ("step", "epoch") and name.rpartition("/")[2] not in ("epoch", "best_epoch")


def group(curves: Curves, goal: str | None, best_step: int | None) -> list[Chart]:
    """Group metrics into charts: the goal's first, then losses, then evaluations, then what every step measures.

    `goal`, if known, decides which model is best, and `best_step`, the step of that model, is marked on its curve.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in curves:
        groups[read_name(name).chart].append(name)
    num_steps = max(map(count_points, curves.values()), default=0)

    def place(names: Sequence[str]) -> int:
        is_evaluated = any(read_name(name).split in EVALUATED for name in names)
        is_each_step = any(count_points(curves[name]) == num_steps for name in names) and not is_evaluated
        return 0 if goal in names else 1 if "loss" in read_name(names[0]).chart else 3 if is_each_step else 2

    ordered = sorted(groups.values(), key=place)
    marks = [(point, "best") for point in curves.get(goal or "", ()) if point[0] == best_step]
    return [_build(names, curves, marks if goal in names else (), num_steps) for names in ordered]


def _build(names: Sequence[str], curves: Curves, marks: Sequence[tuple[Point, str]], num_steps: int) -> Chart:
    members = [name for name in names if read_name(name).member and not name.startswith(BASELINE)]
    shades = {name: f"r{index * (NUM_SHADES - 1) // max(len(members) - 1, 1)}" for index, name in enumerate(members)}
    shown = [name for name in names if not (name.startswith(BASELINE) and read_name(name).member)]
    shown.sort(key=lambda name: (name.startswith(BASELINE), name in members, not read_name(name).is_mean))
    has_mean = any(read_name(name).is_mean for name in shown)
    lines = []
    for name in shown:
        words, points = read_name(name), curves[name]
        is_faint = has_mean and not words.is_mean and count_points(points) == num_steps
        kind = "dashed" if name.startswith(BASELINE) else "faint" if is_faint else "line"
        label = "baseline" if kind == "dashed" else "" if is_faint else _label(words, shown)
        lines.append(Line(name, label, points, shades.get(name, COLOURS[words.split]), kind))
    return Chart(shown[0] if len(shown) == 1 else read_name(shown[0]).chart, lines, marks=marks)


def _label(words: Words, names: Sequence[str]) -> str:
    """Return what distinguishes a line from the others of its chart."""
    splits = {read_name(name).split for name in names}
    parts = [words.split if len(splits) > 1 else "", words.member, "mean" if words.is_mean else ""]
    return " ".join(filter(None, parts))


def profiles(curves: Curves) -> list[Chart]:
    """Build charts of metrics with numbered parts, as `eval/mse/t+1` to `t+4`: the last values over that number."""
    groups: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for name, points in curves.items():
        if points and (match := re.fullmatch(r"(.+)/([^/\d]*)(\d+)", name)):
            plain = match[1].removeprefix(BASELINE)
            groups[f"{plain}/{match[2]}"][match[1]].append((float(match[3]), points[-1][1]))
    return [_profile(stem, lines) for stem, lines in groups.items() if len(next(iter(lines.values()))) > 2]


def _profile(stem: str, lines: Mapping[str, list[Point]]) -> Chart:
    name, _, part = stem.rpartition("/")
    drawn = [
        Line(key, "baseline", sorted(points), COLOURS[read_name(name).split], "dashed")
        if key.startswith(BASELINE)
        else Line(key, read_name(name).chart, sorted(points), COLOURS[read_name(name).split])
        for key, points in lines.items()
    ]
    return Chart(f"{name}, last evaluation", drawn, x_label=f"{part.rstrip('+')} + n" if part.endswith("+") else part)

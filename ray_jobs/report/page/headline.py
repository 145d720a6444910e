"""Headline of a run: what its best model was chosen on and what was measured, apart; how long it took, on what."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

from ray_jobs.console import format_duration
from ray_jobs.report.charts.chart_groups import BASELINE, read_name
from ray_jobs.report.format_numbers import number
from ray_jobs.report.page.content import Fact, FactGroup
from ray_jobs.report.record.run_record import RunRecord
from trainables.contract.workload_config import INTERVAL

LOW, HIGH = INTERVAL


def headline(run: RunRecord) -> list[FactGroup]:
    """Build the figures of the headline; a metric that was both chosen on and measured is in one group."""
    return [*_scores(run), FactGroup("Training", _training(run))]


def _scores(run: RunRecord) -> list[FactGroup]:
    goal = run.goal or ""
    value = run.best.get(goal, run.last.get(goal))
    if value is None:
        return []
    is_best = bool(run.best_step) and goal in run.best
    where = f"best model, step {run.best_step:,}" if is_best else "last model"
    chosen = Fact(goal, number(value), describe(goal, run.best if is_best else run.last, where))
    measured = _measured(run, goal, where)
    if not measured:
        title = "Chosen and measured on the same data" if is_best else "Measured"
        return [FactGroup(title, [chosen])]
    return [FactGroup("Chosen on", [chosen]), FactGroup("Measured on", measured)]


def _measured(run: RunRecord, goal: str, where: str) -> list[Fact]:
    """Return the same score on data that the choice did not see: of the newest evaluation, else of the best model.

    Left out are evaluations of another run's model, and those on subjects that the model has learnt from.
    """
    counterpart = name_on_test(goal)
    kept = {index: found for index, found in run.evaluations.items() if _is_own(found) and not num_learnt(found)}
    if kept:
        index, found = max(kept.items())
        metrics: Mapping[str, float] = found.get("metrics", {})
        model = str(found.get("checkpoint", "")).rpartition("/")[2]
        for name in (counterpart, goal):
            if name in metrics:
                return [Fact(name, number(metrics[name]), describe(name, metrics, f"evaluation {index} of {model}"))]
    known = run.best or run.last
    if counterpart != goal and counterpart in known:
        return [Fact(counterpart, number(known[counterpart]), describe(counterpart, known, where))]
    return []


def num_learnt(evaluation: Mapping[str, Any]) -> int:
    """Return the number of an evaluation's test subjects that its model has learnt from."""
    return evaluation.get("learnt_subjects", 0)


def _is_own(evaluation: Mapping[str, Any]) -> bool:
    """Return whether the model is one of the run, by the paths of that time; the run may lie elsewhere since."""
    checkpoint = str(evaluation.get("checkpoint", ""))
    return "folder" not in evaluation or checkpoint.startswith(f"{evaluation['folder']}/")


def name_on_test(name: str) -> str:
    """Return a metric's name on the test split: `test/auroc` for `val/auroc`; others stay."""
    first, slash, rest = name.partition("/")
    if first == "val" and slash:
        return f"test/{rest}"
    return f"test_{rest}" if not slash and (rest := name.removeprefix("val_")) != name else name


def describe(name: str, metrics: Mapping[str, float], where: str) -> str:
    """Describe a score: where it is from, its interval, its trivial baseline, and the counts of its split."""
    words = [where]
    if name + LOW in metrics and name + HIGH in metrics:
        words.append(f"95 % interval {number(metrics[name + LOW])} to {number(metrics[name + HIGH])}")
    if BASELINE + name in metrics:
        words.append(f"baseline {number(metrics[BASELINE + name])}")
    split = read_name(name).split
    counts = [each for each in metrics if each.startswith(f"{split}/num_")] if split else []
    words += [f"{number(metrics[each])} {each.partition('/num_')[2].replace('_', ' ')}" for each in counts[:2]]
    return "; ".join(words)


def _training(run: RunRecord) -> list[Fact]:
    last, items = run.events[-1] if run.events else {}, []
    if last:
        done = f"{run.last_step:,} of {last['num_steps']:,} steps"
        epoch = last["epoch"] if run.state.kind == "finished" or last["step_in_epoch"] else last["epoch"] - 1
        items.append(Fact("epochs", f"{epoch:,} of {last['num_epochs']:,}", done))
        starts = sum(is_start for is_start, _ in groupby("resumed_from" in event for event in run.events))
        words = f"in {starts} starts" if starts > 1 else "in one start"
        items.append(Fact("trained for", format_duration(trained_seconds(run.events)), words))
    if speeds := [value for _, value in run.speed.get("samples/s", ())]:
        memory = max((value for _, value in run.speed["peak MiB"]), default=0.0)
        items.append(Fact("samples/s", number(median(speeds)), f"median; peak {memory:,.0f} MiB"))
    if used := [value for _, value in run.speed.get("system/mfu", ())]:
        items.append(Fact("MFU", f"{median(used):.1%}", "median; model FLOPs utilisation of worker 0's GPU"))
    if run.num_parameters is not None:
        items.append(Fact("parameters", f"{run.num_parameters:,}", "of the saved model"))
    return items


def median(values: Sequence[float]) -> float:
    """Return the median with three digits."""
    return float(f"{statistics.median(values):.3g}")


def trained_seconds(events: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds between reports, without the pauses between a stop and the next start."""
    steps = pairwise(events)
    return sum(later["time"] - earlier["time"] for earlier, later in steps if "resumed_from" not in later)

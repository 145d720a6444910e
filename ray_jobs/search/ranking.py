"""Ranking of a search's points: by the mean over seeds, and Pareto efficiency with several objectives."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import le

from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trial, Trials, measured
from trainables.contract.workload_config import SelectionMetric


@dataclass(frozen=True)
class Entry:
    """Point on one experiment: its trials, one for each seed, and their mean objectives."""

    label: str
    trials: tuple[Trial, ...]
    means: tuple[float, ...]
    """Means of the objectives over the seeds that have them; empty when none has."""
    deviations: tuple[float, ...]
    """Sample standard deviations of the objectives, with n - 1; 0 for one seed."""
    is_efficient: bool = True
    """Pareto-efficient, with several objectives: no other point is better in one and as good in all."""


def rank(setup: SweepPlan, trials: Trials) -> list[Entry]:
    """Rank the points label by label, best first; points without a value come last."""
    groups: dict[tuple[str, int], list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.label, trial.point].append(trial)
    entries = [_summarise(label, members) for (label, _), members in groups.items()]
    order = list(dict.fromkeys(entry.label for entry in entries))
    ranked = sorted(entries, key=lambda entry: (order.index(entry.label), *_key(setup, entry)))
    efficient = {id(entry) for label in order for entry in _efficient(setup, label, ranked)}
    return [replace(entry, is_efficient=id(entry) in efficient) for entry in ranked]


def _summarise(label: str, trials: Sequence[Trial]) -> Entry:
    reached = [trial.objectives for trial in measured(trials)]
    columns = list(zip(*reached, strict=True))
    deviations = tuple(statistics.stdev(values) if len(values) > 1 else 0.0 for values in columns)
    return Entry(label, tuple(trials), tuple(statistics.fmean(values) for values in columns), deviations)


def _key(setup: SweepPlan, entry: Entry) -> tuple[float, int]:
    if not entry.means:
        return math.inf, entry.trials[0].point
    return _signed(setup.goals(entry.trials[0]), entry.means)[0], entry.trials[0].point


def _signed(goals: Sequence[SelectionMetric], values: Sequence[float]) -> list[float]:
    """Return the values with their signs turned so that less is better."""
    return [value if goal.mode == "min" else -value for goal, value in zip(goals, values, strict=True)]


def _efficient(setup: SweepPlan, label: str, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of a label that no other one beats.

    In lexicographic order an entry can be beaten by earlier ones alone, and if by any then by an efficient one.
    """
    measured_ones = [entry for entry in entries if entry.label == label and entry.means]
    signed = [_signed(setup.goals(entry.trials[0]), entry.means) for entry in measured_ones]
    found: list[Entry] = []
    front: list[list[float]] = []
    for entry, values in sorted(zip(measured_ones, signed, strict=True), key=lambda pair: pair[1]):
        is_beaten = any(other != values and all(map(le, other, values)) for other in reversed(front))
        if not is_beaten:
            found.append(entry)
            front += [values] if values not in front[-1:] else []
    return found


def best_trial(entry: Entry, goal: SelectionMetric) -> Trial:
    """Return the trial with the best seed of an entry, by the first objective."""
    return (min if goal.mode == "min" else max)(measured(entry.trials), key=lambda trial: trial.objectives[0])


def varying_keys(trials: Iterable[Trial]) -> list[str]:
    """Return the settings in which trials differ."""
    values = [trial.values for trial in trials]
    keys = dict.fromkeys(key for each in values for key in each)
    return [key for key in keys if len({repr(each.get(key)) for each in values}) > 1]

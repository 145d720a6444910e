"""Ranking of a search's points: by the mean over seeds, and Pareto efficiency with several objectives."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

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
    return [_with_efficiency(setup, entry, ranked) for entry in ranked]


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


def _with_efficiency(setup: SweepPlan, entry: Entry, entries: Sequence[Entry]) -> Entry:
    if not entry.means:
        return Entry(entry.label, entry.trials, (), (), is_efficient=False)
    goals = setup.goals(entry.trials[0])
    own = _signed(goals, entry.means)
    for other in entries:
        if other.label != entry.label or not other.means:
            continue
        values = _signed(goals, other.means)
        if values != own and all(theirs <= ours for theirs, ours in zip(values, own, strict=True)):
            return Entry(entry.label, entry.trials, entry.means, entry.deviations, is_efficient=False)
    return entry


def best_trial(entry: Entry, goal: SelectionMetric) -> Trial:
    """Return the trial with the best seed of an entry, by the first objective."""
    return (min if goal.mode == "min" else max)(measured(entry.trials), key=lambda trial: trial.objectives[0])


def varying_keys(trials: Trials) -> list[str]:
    """Return the settings in which trials differ."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
    return [key for key in keys if len({repr(trial.values.get(key)) for trial in trials}) > 1]

"""Leaderboard of a search: in the terminal, as CSV, and its best settings as an experiment file."""

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from data_pipelines.readers.natural_order import text_key
from ray_jobs.console import format_duration
from ray_jobs.run_folder.table_csv import to_csv
from ray_jobs.runs.model_references import best_model
from ray_jobs.search.ranking import Entry, best_trial, rank, varying_keys
from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trial, Trials, word
from ray_jobs.settings.strict_yaml import dump_yaml
from ray_jobs.text_table import TextTable
from trainables.contract.workload_config import SelectionMetric

LEADERBOARD, BEST = "leaderboard.csv", "best.yaml"


def tabulate_leaderboard(setup: SweepPlan, trials: Trials, *, limit: int = 20) -> list[TextTable | str]:
    """Return a table of the first entries of each label, and how many more there are."""
    keys = varying_keys(trials)
    short = short_names(keys)
    entries = rank(setup, trials)
    labels = list(dict.fromkeys(entry.label for entry in entries))
    parts: list[TextTable | str] = []
    for label in labels:
        members = [entry for entry in entries if entry.label == label]
        goals = setup.goals(members[0].trials[0])
        columns = ["rank", "trial", *(short[key] for key in keys), *(goal.metric for goal in goals), "epoch", "state"]
        rows = [_row(place, entry, keys, goals) for place, entry in enumerate(members[:limit], 1)]
        numeric = range(2 + len(keys), 2 + len(keys) + len(goals))
        strong = (0,) if members[0].means else ()
        title = label if len(labels) > 1 else ""
        parts.append(TextTable(columns, rows, title=title, numeric=numeric, strong=strong))
        if len(members) > limit:
            parts.append(f"and {len(members) - limit} more in {LEADERBOARD}")
    return parts


def _row(place: int, entry: Entry, keys: Sequence[str], goals: Sequence[SelectionMetric]) -> list[str]:
    trial = entry.trials[0]
    has_seeds = len(entry.trials) > 1
    values = [
        f"{mean:.4g} +- {deviation:.2g}" if has_seeds else f"{mean:.4g}"
        for mean, deviation in zip(entry.means, entry.deviations, strict=True)
    ] or [""] * len(goals)
    numbers = ",".join(str(member.number) for member in entry.trials)
    mark = "*" if entry.is_efficient and len(goals) > 1 else ""
    epochs = f"{min(member.epoch for member in entry.trials)}/{trial.num_epochs}" if trial.num_epochs else ""
    states = ", ".join(dict.fromkeys(member.state for member in entry.trials))
    return [f"{place}{mark}", numbers, *(word(trial.values.get(key)) for key in keys), *values, epochs, states]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each dotted key, or the complete key when two have the same last part."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)}


def summarise_states(trials: Trials, total: int, concurrency: int) -> str:
    """Return for example `12 of 16 trials over: 9 finished, 3 stopped; about 3m 20s to go`."""
    counts = Counter(trial.state for trial in trials)
    over = [trial for trial in trials if trial.is_over]
    words = ", ".join(
        f"{counts[state]} {state}" for state in ("finished", "stopped", "failed", "running") if counts[state]
    )
    text = f"{len(over)} of {total} trials over: {words or 'none begun'}"
    timed = [trial.seconds for trial in over if trial.seconds]
    if timed and len(over) < total:
        text += f"; about {format_duration(statistics.fmean(timed) * (total - len(over)) / concurrency)} to go"
    return text


class LeaderboardFiles:
    """Writer of the leaderboard's files, which takes at most a share of the search's time, however many trials."""

    SHARE = 0.05

    def __init__(self, setup: SweepPlan, trials: Trials, clock: Callable[[], float] = time.monotonic):
        self._setup, self._trials, self._clock = setup, trials, clock
        self._models: dict[int, str] = {}
        """Best model of each trial that is over, which is asked for once."""
        self._due = -math.inf

    def save_when_due(self) -> None:
        """Write the files, unless the last time was too short ago for the time that it took."""
        if self._clock() >= self._due:
            self.save()

    def save(self) -> None:
        start = self._clock()
        for trial in self._trials:
            if trial.is_over and trial.number not in self._models:
                self._models[trial.number] = _model(self._setup, trial)
        save_leaderboard(self._setup, self._trials, self._models)
        end = self._clock()
        self._due = end + (end - start) / self.SHARE


def save_leaderboard(setup: SweepPlan, trials: Trials, models: Mapping[int, str] = MappingProxyType({})) -> None:
    """Write `leaderboard.csv`, a row for every trial, and `best.yaml`, the first of each label.

    Best models of trials that are not among `models` are looked for.
    """
    entries = rank(setup, trials)
    keys = list(setup.search.space)
    metrics = sorted({name for trial in trials for name in trial.metrics}, key=text_key)
    places = ["rank", "trial", "run", "experiment", "seed", "state", "epoch", "step", "seconds", "failures"]
    rows: list[list[Any]] = [[*places, *keys, *metrics, "model", "words"]]
    places_of = Counter[str]()
    for entry in entries:
        places_of[entry.label] += 1
        for trial in entry.trials:
            base = [places_of[entry.label], trial.number, setup.run_name(trial), trial.label, trial.seed, trial.state]
            base += [trial.epoch, trial.step, trial.seconds, trial.failures]
            found = [trial.metrics.get(name, "") for name in metrics]
            model = models[trial.number] if trial.number in models else _model(setup, trial)
            rows.append([*base, *(trial.values.get(key) for key in keys), *found, model, trial.words])
    setup.folder.write(LEADERBOARD, to_csv(rows))
    for label in dict.fromkeys(entry.label for entry in entries):
        first = next(entry for entry in entries if entry.label == label)
        if first.means:
            name = BEST if label == setup.labels[0] else f"best {label}.yaml".replace("/", "_")
            setup.folder.write(name, _to_experiment(setup, first).encode())


def _to_experiment(setup: SweepPlan, entry: Entry) -> str:
    trial = best_trial(entry, setup.goals(entry.trials[0])[0])
    experiment = setup.build(trial)
    settings = experiment.model_dump(mode="json", exclude={"search"})
    values = ", ".join(
        f"{goal.metric} {value:.6g}" for goal, value in zip(setup.goals(trial), trial.objectives, strict=True)
    )
    head = [
        f"# The best settings of the search {setup.name}: {values}.",
        "# `train` finds that run, and goes on with it where it was stopped; another tracking.run_name is a new run.",
        f"# Its best model: {_model(setup, trial) or 'none yet'}",
    ]
    return "\n".join([*head, dump_yaml(settings)])


def _model(setup: SweepPlan, trial: Trial) -> str:
    try:
        return str(best_model(setup.run(trial)))
    except ValueError:
        return ""  # no model yet

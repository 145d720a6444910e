"""Record of a search and the curves of its trials, read from their folders as plain data."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from data_pipelines.storage.folder import Folder
from ray_jobs.report.charts.chart import Point
from ray_jobs.report.record.run_status import State
from ray_jobs.report.record.tolerant_io import read_json, read_lines, read_text, storage_of
from ray_jobs.run_folder.run_lock import find_holder
from ray_jobs.run_folder.run_recorder import METRICS
from ray_jobs.runs.model_references import RUNS
from ray_jobs.search.leaderboard import BEST, LEADERBOARD
from ray_jobs.search.ranking import varying_keys
from ray_jobs.search.samplers import count_points
from ray_jobs.search.sweep_plan import SETTINGS
from ray_jobs.search.trials import Mutation, Trial, find_mutations, latest, read_history
from ray_jobs.settings.search import Search
from ray_jobs.settings.strict_yaml import parse_yaml
from ray_jobs.tracking.mirror_files import MIRROR_CONFIG
from trainables.run import validate_strictly


@dataclass(frozen=True)
class RankedTrial:
    """Trial with its rank and curve."""

    trial: Trial
    run: str
    """Name of the trial's run."""
    rank: int | None
    """Rank among the trials of its label; None before the first ranking."""
    curve: Sequence[Point]
    """The first objective over epochs."""


@dataclass(frozen=True)
class SearchRecord:
    """Record of one search, finished or not."""

    folder: Folder
    settings: Mapping[str, Any]
    state: State
    objectives: Sequence[str]
    """Names of the metrics that trials are ranked by, the first one first."""
    places: Sequence[RankedTrial]
    """Trials label by label, best first."""
    mutations: Sequence[Mutation]
    best: Mapping[str, str]
    """Files of best settings by name."""
    pictures: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """Name of the search and of its folder."""
        return PurePosixPath(self.folder.path).name

    @property
    def keys(self) -> list[str]:
        """Settings in which trials differ."""
        return varying_keys([place.trial for place in self.places])


def gather_search(folder: Folder) -> SearchRecord:
    """Read the complete record of a search; what is not there yet is empty."""
    settings = parse_yaml(read_text(folder, SETTINGS)) or {}
    history, name = read_history(folder), PurePosixPath(folder.path).name
    trials = [trial for _, trial in sorted(latest(history).items())]
    runs = storage_of(folder) / RUNS
    objectives = [goal["metric"] for goal in (settings.get("search") or {}).get("objectives", [])]
    objectives = objectives or _goal(runs, [f"{name}-{trial.id}" for trial in trials])
    ranks = _ranks(folder)
    places = [
        RankedTrial(trial, run, ranks.get(trial.number), _curve(runs / run, objectives[:1]))
        for trial, run in ((trial, f"{name}-{trial.id}") for trial in trials)
    ]
    labels = list(dict.fromkeys(trial.label for trial in trials))
    places.sort(key=lambda place: (labels.index(place.trial.label), place.rank or len(trials) + 1, place.trial.number))
    names = folder.names()
    return SearchRecord(
        folder=folder,
        settings=settings,
        state=_state(folder, trials, _count_trials(settings.get("search") or {})),
        objectives=objectives,
        places=places,
        mutations=find_mutations(history),
        best={file: read_text(folder, file) for file in names if file.startswith(BEST[:4]) and file.endswith(BEST[4:])},
        pictures={file: folder.read(file) for file in names if file.endswith(".png")},
    )


def _goal(runs: Folder, names: Sequence[str]) -> list[str]:
    """Return the metric that ranks the trials by default, from the first run that has begun; empty without one."""
    for name in names:
        mirror_config = read_json(runs / name, MIRROR_CONFIG)
        if mirror_config:
            return [mirror_config["goal"]]
    return []


def _ranks(folder: Folder) -> dict[int, int]:
    rows = csv.DictReader(io.StringIO(read_text(folder, LEADERBOARD), newline=""))
    return {int(row["trial"]): int(row["rank"]) for row in rows}


def _curve(run: Folder, objectives: Sequence[str]) -> list[Point]:
    """Return the last value of each epoch."""
    found = (
        (row["epoch"], row[metric]) for metric in objectives for row in read_lines(run, METRICS, having=f'"{metric}"')
    )
    return list(dict(found).items())


def _state(folder: Folder, trials: Sequence[Trial], num_trials: int) -> State:
    counts = Counter(trial.state for trial in trials)
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    text = f"{len(trials)} of {max(num_trials, len(trials))} trials begun{f': {words}' if words else ''}"
    if find_holder(folder):
        return State("running", text)
    is_over = len(trials) >= num_trials and all(trial.is_over for trial in trials)
    return State("finished", text) if is_over else State("unfinished", f"{text}; the same command goes on with it")


def _count_trials(settings: Mapping[str, Any]) -> int:
    """Count the trials that the settings ask for; 0 when the settings are of another version."""
    try:
        search = validate_strictly(Search, settings)
    except ValidationError:
        return 0
    return count_points(search) * (1 + len(search.experiments)) * max(len(search.seeds), 1)

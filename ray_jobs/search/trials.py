"""Trials of a search and their record on disk: one line for each change; the last line of a trial counts."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.append_file import AppendFile
from ray_jobs.run_folder.record_file import RecordFile
from ray_jobs.runs.model_references import TRIALS
from ray_jobs.search.samplers import Point

State = Literal["waiting", "running", "finished", "stopped", "failed"]
"""stopped: by the scheduler. failed: for good."""


@dataclass(frozen=True)
class Trial:
    """One run of a search."""

    number: int
    """From 0; ends the run's name."""
    point: int
    """The number of its point; trials of one point differ in seed or experiment."""
    base: int
    """The number of its experiment."""
    label: str
    """Trials of one label are ranked together."""
    seed: int
    values: Point
    """Settings that the trial trains with now."""
    state: State = "waiting"
    objectives: tuple[float, ...] = ()
    """Values of the objectives at the evaluation that counts; empty before the first."""
    metrics: dict[str, float] = field(default_factory=dict)
    """All metrics of that evaluation."""
    epoch: int = 0
    step: int = 0
    num_epochs: int = 0
    seconds: float = 0.0
    """Seconds of training, over all starts."""
    failures: int = 0
    words: str = ""
    """Cause of its failure, or its last event."""

    @property
    def id(self) -> str:
        """Id for Tune, which also ends the run's name."""
        return f"{self.number:04d}"

    @property
    def is_over(self) -> bool:
        """Whether the trial is in a terminal state."""
        return self.state in ("finished", "stopped", "failed")

    def change(self, **changes: Any) -> "Trial":
        """Return a copy with changes."""
        return replace(self, **changes)


class Trials:
    """Trials of a search by number; every change that is kept is on disk before it is acted upon."""

    def __init__(self, folder: Folder):
        self._file = AppendFile(folder, TRIALS)
        self._trials = latest(read_history(folder))
        self._of_point: dict[int, set[int]] = defaultdict(set)
        for trial in self._trials.values():
            self._of_point[trial.point].add(trial.number)

    def put(self, trial: Trial, *, is_kept: bool = True) -> None:
        """Add or change a trial; with `is_kept` false only in memory, for what changes all the time."""
        self._trials[trial.number] = trial
        self._of_point[trial.point].add(trial.number)
        if is_kept:
            self._file.append((json.dumps(asdict(trial)) + "\n").encode())

    def close(self) -> None:
        self._file.close()

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def __iter__(self) -> Iterator[Trial]:
        return iter(sorted(self._trials.values(), key=lambda trial: trial.number))

    def __len__(self) -> int:
        return len(self._trials)

    def of_point(self, point: int) -> list[Trial]:
        return [self._trials[number] for number in sorted(self._of_point[point])]


def read_history(folder: Folder) -> list[Trial]:
    """Read all trials on disk, once for each change, in the order of the changes; writes nothing."""
    found = (json.loads(line) for line in RecordFile(folder, TRIALS).lines())
    return [Trial(**{**content, "objectives": tuple(content["objectives"])}) for content in found]


def latest(history: Iterable[Trial]) -> dict[int, Trial]:
    """Return the last state of each trial, by number."""
    return {trial.number: trial for trial in history}


def measured(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials whose values count: for the ranking, for the best settings, and for the sampler."""
    return [trial for trial in trials if trial.objectives and trial.state != "failed"]


@dataclass(frozen=True)
class Mutation:
    """Setting that changed in a running trial, which resumed from another trial's checkpoint."""

    trial: int
    epoch: int
    """The last epoch that the trial had trained before."""
    key: str
    before: Any
    after: Any


def find_mutations(history: Iterable[Trial]) -> list[Mutation]:
    """Find the mutations, in the order in which they came."""
    last: dict[int, Trial] = {}
    found = []
    for trial in history:
        before = last.get(trial.number, trial).values
        found += [
            Mutation(trial.number, trial.epoch, key, before[key], value)
            for key, value in trial.values.items()
            if before[key] != value
        ]
        last[trial.number] = trial
    return found


def word(value: Any) -> str:
    """Format a value for people."""
    if isinstance(value, dict):
        return " ".join(f"{name}={word(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)

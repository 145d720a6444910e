"""The trials of a search, and their record on disk: a line for each change, of which the last one of a trial counts."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.append_file import AppendFile, whole_lines
from ray_jobs.search.samplers import Point

TRIALS = "trials.jsonl"

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
    """Settings that it trains with now."""
    state: State = "waiting"
    objectives: tuple[float, ...] = ()
    """Values of the objectives at the evaluation that counts; empty before the first."""
    metrics: dict[str, float] = field(default_factory=dict)
    """All metrics of that evaluation."""
    epoch: int = 0
    step: int = 0
    num_epochs: int = 0
    seconds: float = 0.0
    """Of training, over all starts."""
    failures: int = 0
    words: str = ""
    """Why it failed, or what happened to it last."""

    @property
    def id(self) -> str:
        """For Tune, and at the end of the run's name."""
        return f"{self.number:04d}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("finished", "stopped", "failed")

    def change(self, **changes: Any) -> "Trial":
        """A copy."""
        return replace(self, **changes)


class Trials:
    """All trials by number; every change is on disk before it is acted upon."""

    def __init__(self, folder: Folder):
        self._file = AppendFile(folder, TRIALS)
        self._trials = latest(read_history(folder))

    def put(self, trial: Trial, *, is_kept: bool = True) -> None:
        """Add or change one; with `is_kept` false in memory alone, for what changes all the time."""
        self._trials[trial.number] = trial
        if is_kept:
            self._file.append((json.dumps(asdict(trial)) + "\n").encode())

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def __iter__(self) -> Iterator[Trial]:
        return iter(sorted(self._trials.values(), key=lambda trial: trial.number))

    def __len__(self) -> int:
        return len(self._trials)

    def of_point(self, point: int) -> list[Trial]:
        """Its trials."""
        return [trial for trial in self if trial.point == point]


def read_history(folder: Folder) -> list[Trial]:
    """All trials on disk, once for each change, in the order of the changes; changes nothing."""
    content = folder.read(TRIALS) if folder.exists(TRIALS) else b""
    return [_read(json.loads(line)) for line in whole_lines(content).splitlines()]


def latest(history: Iterable[Trial]) -> dict[int, Trial]:
    """How each trial stands at the end of it, by number."""
    return {trial.number: trial for trial in history}


def measured(trials: Iterable[Trial]) -> list[Trial]:
    """Those whose values count: for the ranking, for the best settings, and for whoever chooses the next point."""
    return [trial for trial in trials if trial.objectives and trial.state != "failed"]


@dataclass(frozen=True)
class Mutation:
    """A setting that changed in a running trial, which went on from another's checkpoint."""

    trial: int
    epoch: int
    """The last one that the trial had trained before."""
    key: str
    before: Any
    after: Any


def find_mutations(history: Iterable[Trial]) -> list[Mutation]:
    """In the order in which they came."""
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
    """A value for people."""
    if isinstance(value, dict):
        return " ".join(f"{name}={word(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _read(content: dict[str, Any]) -> Trial:
    return Trial(**{**content, "objectives": tuple(content["objectives"])})

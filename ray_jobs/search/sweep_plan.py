"""What a search is made of: its experiments, its goals, its name; and every trial as an experiment of its own."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.model_references import RUNS
from ray_jobs.search.samplers import Point, build_sampler, count_points
from ray_jobs.search.trials import Trial
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.search import Search
from trainables.contract.workload_config import SelectionMetric

SEARCHES = "searches"
SETTINGS = "search.yaml"
CHANGEABLE = ("num_points", "max_concurrent", "retries")
"""Settings of a search that may be others when it goes on."""
DECIDING = {"seed", "workload", "training"}
"""Sections of an experiment that decide what its trials are."""
NUM_CHECKED = 1000
"""Points that are checked before the start."""


@dataclass(frozen=True)
class SweepPlan:
    """A search that is to be run."""

    experiment: Experiment
    """The file that holds the search."""
    bases: tuple[Experiment, ...]
    """What is searched: that experiment, and those that it names."""
    labels: tuple[str, ...]

    @property
    def search(self) -> Search:
        """Its settings."""
        assert self.experiment.search is not None
        return self.experiment.search

    @cached_property
    def name(self) -> str:
        """The given name, or one by a digest of all that decides which trials there are but their number."""
        workload, settings = self.experiment.workload.label, self.search.model_dump(mode="json")
        for changeable in CHANGEABLE:
            del settings[changeable]
        content = json.dumps([[base.digest for base in self.bases], settings], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        return self.experiment.tracking.run_name or f"{workload}-search-{digest}"

    @property
    def settings(self) -> dict[str, Any]:
        """For the search's folder: those of its file, and under `further` what the other experiments decide."""
        further = {
            label: base.model_dump(mode="json", include=DECIDING)
            for label, base in list(zip(self.labels, self.bases, strict=True))[1:]
        }
        return {**self.experiment.model_dump(mode="json"), **({"further": further} if further else {})}

    @property
    def folder(self) -> Folder:
        """The search's folder; its runs lie with all others."""
        return Folder(self.experiment.storage.path) / f"{SEARCHES}/{self.name}"

    @property
    def runs(self) -> Folder:
        """Where the trials' runs lie, among all others."""
        return Folder(self.experiment.storage.path) / RUNS

    def goals(self, trial: Trial) -> Sequence[SelectionMetric]:
        """What a trial is judged by; one that is no valid experiment, by what its experiment is judged by."""
        if self.search.objectives:
            return self.search.objectives
        try:
            experiment = self.build(trial)
        except ValueError:
            experiment = self.bases[trial.base]
        return (experiment.workload.selection_metric,)

    def run_name(self, trial: Trial) -> str:
        """The name of a trial's run and of its folder."""
        return f"{self.name}-{trial.id}"

    def run(self, trial: Trial) -> Folder:
        """The folder of a trial's run, also of one that is no valid experiment."""
        return self.runs / self.run_name(trial)

    def build(self, trial: Trial) -> Experiment:
        """A trial as an experiment. Raises ValueError when its settings do not fit together."""
        changes = {**trial.values, "seed": trial.seed, "tracking.run_name": self.run_name(trial)}
        group = self.experiment.tracking.group or self.name
        return self._override(trial.base, {**changes, "tracking.group": group})

    def _override(self, base: int, changes: Point) -> Experiment:
        experiment = self.bases[base]
        try:
            return experiment.override({**changes, "search": None})
        except ValueError as error:
            raise ValueError(f"the point {json.dumps(changes)} is no valid experiment: {error}") from error

    def expand(self, number: int, point: int, values: Point) -> Iterator[Trial]:
        """The trials of one point, with every seed and experiment; counted on from `number`."""
        seeds = self.search.seeds or (self.experiment.seed,)
        for offset, ((base, label), seed) in enumerate(itertools.product(enumerate(self.labels), seeds)):
            apart = [str(values[key]) for key in self.search.ranks_apart]
            yield Trial(number + offset, point, base, " ".join([label, *apart]), seed, values)

    @property
    def trials_per_point(self) -> int:
        """Seeds times experiments."""
        return len(self.bases) * max(len(self.search.seeds), 1)

    def refuse_invalid(self) -> None:
        """Raise ValueError for a point that is no valid experiment; of endless spaces the ends of every range."""
        sampler = build_sampler(self.search, (), self.experiment.seed) if self.search.method != "tpe" else None
        for base in range(len(self.bases)):
            for key, dimension in self.search.space.items():
                for value in dimension.extremes:
                    self._override(base, {key: value, **self._belonging(key, value)})
            for number in range(NUM_CHECKED if sampler else 0):
                values = sampler.choose(number) if sampler and self._is_wanted(number) else None
                if values is None:
                    break
                self._override(base, values)

    def _belonging(self, key: str, value: Any) -> Point:
        """The values of other keys that belong to this one."""
        space = self.search.space
        return {other: dimension.derive(other, value) for other, dimension in space.items() if dimension.of == key}

    def _is_wanted(self, number: int) -> bool:
        return self.search.num_points is None or number < self.search.num_points

    @cached_property
    def num_points(self) -> int:
        """Points of the settings."""
        return count_points(self.search)


def build_sweep_plan(experiment: Experiment, label: str, overrides: Sequence[str] = ()) -> SweepPlan:
    """From an experiment with a `search` section; `overrides` of the command line hold for all its experiments.

    Raises ValueError for what cannot be searched.
    """
    search = experiment.search
    if search is None:
        raise ValueError(f"{label} has no `search` section; sweep needs one, with `space`, `seeds` or `experiments`")
    shared: dict[str, Any] = experiment.model_dump(mode="json", include={"scaling", "storage", "tracking"})
    scaling = shared["scaling"]
    scaling["num_workers"] = max(scaling["num_workers"], 1)  # Tune runs every trial in a process of its own
    scaling["threads_per_worker"] = scaling["threads_per_worker"] or max(int(scaling["cpus_per_worker"]), 1)
    files = search.experiments
    found = [experiment, *(load_experiment(file, overrides) for file in files)]
    bases = tuple(each.override(shared) for each in found)
    labels = (label, *(file.stem for file in files))
    setup = SweepPlan(experiment.override({"scaling": scaling}), bases, labels)
    setup.refuse_invalid()
    return setup

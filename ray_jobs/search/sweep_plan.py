"""Plan of a search: its experiments, objectives and name, and each trial as an experiment of its own."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.model_references import RUNS, SEARCHES
from ray_jobs.runs.planning import refuse_bad_inputs
from ray_jobs.search.samplers import Point, build_sampler, count_points
from ray_jobs.search.trials import Trial
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.search import GUIDED, Search
from trainables.contract.workload_config import SelectionMetric

SETTINGS = "search.yaml"
CHANGEABLE = ("num_points", "max_concurrent", "retries")
"""Settings of a search that may differ when it is resumed."""
DECIDING = {"seed", "workload", "training"}
"""Sections of an experiment that decide what its trials are."""
NUM_CHECKED = 1000
"""Number of points that are checked before the start."""


@dataclass(frozen=True)
class SweepPlan:
    """Plan of a search."""

    experiment: Experiment
    """The file that holds the search."""
    bases: tuple[Experiment, ...]
    """Experiments that are searched: the one above, and those that its search names."""
    labels: tuple[str, ...]

    @property
    def search(self) -> Search:
        assert self.experiment.search is not None
        return self.experiment.search

    @cached_property
    def name(self) -> str:
        """The given name, or one with a digest of all that decides which trials there are, except their number."""
        workload, settings = self.experiment.workload.label, self.search.model_dump(mode="json")
        for changeable in CHANGEABLE:
            del settings[changeable]
        content = json.dumps([[base.digest for base in self.bases], settings], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        return self.experiment.tracking.run_name or f"{workload}-search-{digest}"

    @property
    def settings(self) -> dict[str, Any]:
        """Settings kept in the search's folder: those of its file, and under `further` those of other experiments."""
        further = {
            label: base.model_dump(mode="json", include=DECIDING)
            for label, base in list(zip(self.labels, self.bases, strict=True))[1:]
        }
        return {**self.experiment.model_dump(mode="json"), **({"further": further} if further else {})}

    @property
    def folder(self) -> Folder:
        """Folder of the search, without its runs."""
        return Folder(self.experiment.storage.path) / f"{SEARCHES}/{self.name}"

    @property
    def runs(self) -> Folder:
        """Folder in which the trials' runs lie, among all others."""
        return Folder(self.experiment.storage.path) / RUNS

    def goals(self, trial: Trial) -> Sequence[SelectionMetric]:
        """Return the objectives of a trial; of an invalid one, those of its base experiment."""
        if self.search.objectives:
            return self.search.objectives
        try:
            experiment = self.build(trial)
        except ValueError:
            experiment = self.bases[trial.base]
        return (experiment.workload.selection_metric,)

    def run_name(self, trial: Trial) -> str:
        """Return the name of a trial's run and of its folder."""
        return f"{self.name}-{trial.id}"

    def run(self, trial: Trial) -> Folder:
        """Return the folder of a trial's run, also of an invalid trial."""
        return self.runs / self.run_name(trial)

    def build(self, trial: Trial) -> Experiment:
        """Build the experiment of a trial. Raises ValueError when its settings do not fit together."""
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
        """Yield the trials of one point, with every experiment and seed; `number` is that of the first."""
        seeds = self.search.seeds or (self.experiment.seed,)
        for offset, ((base, label), seed) in enumerate(itertools.product(enumerate(self.labels), seeds)):
            apart = [str(values[key]) for key in self.search.ranks_apart]
            yield Trial(number + offset, point, base, " ".join([label, *apart]), seed, values)

    @property
    def trials_per_point(self) -> int:
        """Number of trials of a point: seeds times experiments."""
        return len(self.bases) * max(len(self.search.seeds), 1)

    def refuse_invalid(self) -> None:
        """Raise ValueError for a point that is no valid experiment.

        Checks every choice and both ends of every range by itself, and the first `NUM_CHECKED` points of a grid or of
        random draws.
        """
        sampler = build_sampler(self.search, (), self.experiment.seed) if self.search.method not in GUIDED else None
        for base in range(len(self.bases)):
            for key, dimension in self.search.space.items():
                for value in dimension.extremes:
                    self._override(base, {key: value, **self._belonging(key, value)})
            for number in range(NUM_CHECKED if sampler else 0):
                is_wanted = self.search.num_points is None or number < self.search.num_points
                values = sampler.choose(number) if sampler and is_wanted else None
                if values is None:
                    break
                self._override(base, values)

    def _belonging(self, key: str, value: Any) -> Point:
        """Return the values of the keys that depend on this one."""
        space = self.search.space
        return {other: dimension.derive(other, value) for other, dimension in space.items() if dimension.of == key}

    @cached_property
    def num_points(self) -> int:
        return count_points(self.search)


def build_sweep_plan(experiment: Experiment, label: str, overrides: Sequence[str] = ()) -> SweepPlan:
    """Build the plan of the search that an experiment's `search` section describes.

    `label` names the experiment in the ranking; `overrides` of the command line hold for the further experiments as
    well.

    Raises:
        ValueError: The experiment cannot be searched.
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
    if any(base.training.evaluate == "beside" for base in bases):
        raise ValueError(
            "`training.evaluate: beside` is for a run of its own: a search decides by each evaluation as it comes; "
            "give evaluate: inline"
        )
    for base in bases:
        refuse_bad_inputs(base)
    return setup

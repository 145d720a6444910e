"""Gives Tune its trials: first those that an interruption has left open, then new points."""

from collections.abc import Callable, Iterator
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search.search_algorithm import SearchAlgorithm

from ray_jobs.search.open_runs import OpenRuns
from ray_jobs.search.samplers import Sampler
from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trial, Trials, measured
from trainables.ray_train.search_trial import METRIC, MODE, PLAN, PREFIX, RUNS, WAITS


class ResumableSearch(SearchAlgorithm):
    """Every trial's id is its number, in every start; what Tune keeps of its own is never needed again."""

    def __init__(
        self,
        setup: SweepPlan,
        trials: Trials,
        runs: OpenRuns,
        sampler: Sampler,
        *,
        num_points: int,
        limit: int | None,
        say: Callable[[str], None],
    ):
        """At most `limit` trials are given out at the same time."""
        self._setup, self._trials, self._runs, self._chooser = setup, trials, runs, sampler
        self._num_points, self._limit, self._say = num_points, limit, say
        self._told: set[int] = set()
        self._queue = self._all_trials()
        self._parser = _make_parser()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore of its own, which is never asked for

    def add_configurations(self, experiments: Any) -> None:
        """Take note of what Tune makes trials of."""
        (self._experiment,) = experiments

    @property
    def total_samples(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """For Tune's messages."""
        return self._num_points * self._setup.trials_per_point

    def next_trial(self) -> TuneTrial | None:
        """The next one, or None when there is none or none has room."""
        if self._finished or (self._limit is not None and len(self._runs) >= self._limit):
            return None
        for trial in self._queue:
            if self._opens(trial):
                return self._build(trial)
        self._finished = True
        return None

    def _all_trials(self) -> Iterator[Trial]:
        yield from [trial for trial in self._trials if not trial.is_over]
        points = {trial.point for trial in self._trials}
        for point in range(len(points), self._num_points):
            self._tell_results()
            values = self._chooser.choose(point)
            if values is None:
                return
            added = list(self._setup.expand(len(self._trials), point, values))
            for trial in added:
                self._trials.put(trial)
            yield from added

    def _tell_results(self) -> None:
        for point in sorted({trial.point for trial in self._trials} - self._told):
            trials = self._trials.of_point(point)
            if all(trial.is_over for trial in trials):
                reached = [trial.objectives for trial in measured(trials)]
                means = [sum(values) / len(reached) for values in zip(*reached, strict=True)] if reached else None
                self._chooser.tell(trials[0].values, means)
                self._told.add(point)

    def _opens(self, trial: Trial) -> bool:
        """Whether it can be trained; otherwise it is marked, and the search goes on."""
        try:
            metrics = self._runs.final_metrics(trial)
            if metrics is None:
                self._runs.open(trial)
                return True
        except ValueError as error:
            self._trials.put(trial.change(state="failed", words=str(error)))
            self._say(f"{self._setup.run_name(trial)} cannot be trained: {error}")
            return False
        goals = self._setup.goals(trial)
        values = tuple(metrics[goal.metric] for goal in goals if goal.metric in metrics)
        self._trials.put(trial.change(state="finished", metrics=metrics, objectives=values))
        return False

    def _build(self, trial: Trial) -> TuneTrial:
        goal = self._setup.goals(trial)[0]
        settings = {
            PLAN: self._runs[trial.number].plan,
            RUNS: self._setup.runs.uri,
            PREFIX: self._setup.run_name(trial).removesuffix(trial.id),
            METRIC: goal.metric,
            MODE: goal.mode,
            WAITS: self._setup.search.scheduler.name == "pbt",
        }
        spec = {**self._experiment.spec, "config": {**settings, **trial.values}}
        return _create_trial_from_spec(
            spec, self._parser, trial_id=trial.id, evaluated_params={}, experiment_tag=trial.id
        )

"""Tune search algorithm that gives out the trials left open by an interruption, then new points."""

from collections.abc import Callable, Iterator
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search.search_algorithm import SearchAlgorithm

from ray_jobs.search.open_runs import OpenRuns
from ray_jobs.search.samplers import Sampler
from ray_jobs.search.shared_rows import SharedRows
from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trial, Trials, measured
from trainables.ray_train.search_trial import METRIC, MODE, PLAN, PREFIX, ROWS, RUNS, WAITS


class ResumableSearch(SearchAlgorithm):
    """Resumable search: a trial's id is its number in every start, and Tune's own saved state is never needed.

    Args:
        setup: The plan of the search.
        trials: The trials on disk, to which new ones are added.
        runs: The open runs of the trials.
        rows: The decoded rows that trials share.
        sampler: Chooses the points, and gets the mean results of each point whose trials are over.
        num_points: Number of points in all.
        limit: Trials given out at the same time, at most; None for any number.
        say: Prints and logs a message.
    """

    def __init__(
        self,
        setup: SweepPlan,
        trials: Trials,
        runs: OpenRuns,
        rows: SharedRows,
        sampler: Sampler,
        *,
        num_points: int,
        limit: int | None,
        say: Callable[[str], None],
    ):
        self._setup, self._trials, self._runs, self._rows, self._sampler = setup, trials, runs, rows, sampler
        self._num_points, self._limit, self._say = num_points, limit, say
        self._replayed: set[int] = set()
        self._queue = self._all_trials()
        self._parser = _make_parser()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore of its own, which is never used

    def add_configurations(self, experiments: Any) -> None:
        """Keep the experiment of which Tune makes trials."""
        (self._experiment,) = experiments

    @property
    def total_samples(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Number of trials, for Tune's messages."""
        return self._num_points * self._setup.trials_per_point

    def next_trial(self) -> TuneTrial | None:
        """Return the next trial, or None when there is none or no room for one."""
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
            self._replay_results()
            values = self._sampler.choose(point)
            if values is None:
                return
            added = list(self._setup.expand(len(self._trials), point, values))
            for trial in added:
                self._trials.put(trial)
            yield from added

    def _replay_results(self) -> None:
        for point in sorted({trial.point for trial in self._trials} - self._replayed):
            trials = self._trials.of_point(point)
            if all(trial.is_over for trial in trials):
                reached = [trial.objectives for trial in measured(trials)]
                means = [sum(values) / len(reached) for values in zip(*reached, strict=True)] if reached else None
                self._sampler.tell(trials[0].values, means)
                self._replayed.add(point)

    def _opens(self, trial: Trial) -> bool:
        """Return whether a trial can be trained; otherwise mark it as failed or finished, and the search continues."""
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
        goal, plan = self._setup.goals(trial)[0], self._runs[trial.number].plan
        settings = {
            PLAN: plan,
            ROWS: self._rows.find(plan),
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

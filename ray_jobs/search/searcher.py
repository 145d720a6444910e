"""Tune searcher that gives out the trials left open by an interruption, then new points."""

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ray.tune.search import Searcher

from ray_jobs.search.open_runs import OpenRuns
from ray_jobs.search.samplers import Sampler
from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trial, Trials, measured
from trainables.plan import Plan
from trainables.ray_train.run_datasets import RunDatasets, build_datasets
from trainables.ray_train.search_trial import METRIC, MODE, OBJECTIVE, PLAN, ROWS, RUNS, WAITS


class SharedRows:
    """Decoded datasets of the experiments that keep their rows resident, which all trials read."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        """Decode the rows of each plan. Raises RunError when a shard cannot be read."""
        self.datasets: dict[str, RunDatasets] = {}
        for plan in plans:
            key = _key_of(plan)
            if plan.feed == "resident" and key not in self.datasets:
                self.datasets[key] = build_datasets(plan)

    def find(self, plan: Plan) -> str | None:
        """Return the key of the datasets that hold a trial's rows; None when the trial decodes its rows itself."""
        key = _key_of(plan)
        return key if plan.feed == "resident" and key in self.datasets else None


def _key_of(plan: Plan) -> str:
    """Return a digest of the folder and of the pipeline's settings; compare it within one process only."""
    workload = plan.run.workload
    settings = type(workload).model_validate(workload.model_dump())  # however it was made
    pipeline = plan.workload.build_pipeline(settings)
    return hashlib.sha256(pickle.dumps((plan.prepared.uri, pipeline))).hexdigest()


class TrialNames:
    """Names of Tune's trials: each is that of its run."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, trial_id: str, name: str) -> None:
        """Name a trial that Tune is about to make."""
        self._names[trial_id] = name

    def __call__(self, trial: Any) -> str:
        return self._names[trial.trial_id]

    def __getstate__(self) -> dict[str, Any]:
        """Return the newest name alone: Tune copies the names for each trial that it makes, and asks for that one."""
        newest = next(reversed(self._names), None)
        return {"_names": {} if newest is None else {newest: self._names[newest]}}


class ResumableSearcher(Searcher):
    """Searcher whose state is the record of the search alone; what Tune saves is never needed.

    New trials are added to `trials`, those on disk. `sampler` chooses the points, and gets the mean results of each
    point whose trials are over; `limit` returns how many trials may be given out at the same time now, None for any
    number.
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
        limit: Callable[[], int] | None,
        say: Callable[[str], None],
    ):
        super().__init__(metric=OBJECTIVE, mode="max")
        self._setup, self._trials, self._runs, self._rows, self._sampler = setup, trials, runs, rows, sampler
        self._num_points, self._limit, self._say = num_points, limit, say
        self._unheard = {trial.point for trial in trials}
        """Points whose results the sampler does not know yet."""
        self._queue = self._all_trials()
        self._is_over = False
        self.names = TrialNames()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its parts for a restore of its own, which is never used

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the config of the next trial; None when there is no room for one now, and FINISHED after the last."""
        if not self._is_over and self._limit is not None and len(self._runs) >= self._limit():
            return None
        while not self._is_over:
            trial = next(self._queue, None)
            if trial is None:
                break
            if self._opens(trial):
                self._runs.numbers[trial_id] = trial.number
                self.names.add(trial_id, self._setup.run_name(trial))
                return self._configure(trial)
        self._is_over = True
        return Searcher.FINISHED

    def end(self) -> None:
        """Give out no more trials."""
        self._is_over = True

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing: results come from the record."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing."""

    def _all_trials(self) -> Iterator[Trial]:
        yield from [trial for trial in self._trials if not trial.is_over]
        points = {trial.point for trial in self._trials}
        for point in range(len(points), self._num_points):
            self._replay_results()
            values = self._sampler.choose(point)
            if values is None:
                return
            added = list(self._setup.expand(len(self._trials), point, values))
            self._unheard.add(point)
            for trial in added:
                self._trials.put(trial)
            yield from added

    def _replay_results(self) -> None:
        for point in sorted(self._unheard):
            trials = self._trials.of_point(point)
            if all(trial.is_over for trial in trials):
                reached = [trial.objectives for trial in measured(trials)]
                means = [sum(values) / len(reached) for values in zip(*reached, strict=True)] if reached else None
                self._sampler.tell(trials[0].values, means)
                self._unheard.remove(point)

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

    def _configure(self, trial: Trial) -> dict[str, Any]:
        goal, plan = self._setup.goals(trial)[0], self._runs[trial.number].plan
        return {
            PLAN: plan,
            ROWS: self._rows.find(plan),
            RUNS: self._setup.runs.uri,
            METRIC: goal.metric,
            MODE: goal.mode,
            WAITS: self._setup.search.scheduler.name == "pbt",
            **trial.values,
        }

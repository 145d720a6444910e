"""Tune schedulers built from settings, and the replay of results from before an interruption."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.record_file import RecordFile
from ray_jobs.run_folder.run_recorder import EVENTS, METRICS
from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trial
from ray_jobs.settings.search import Asha, MedianStopping, PopulationBased, Search
from ray_jobs.settings.search_dimension import Dimension
from trainables.contract.training_config import Cadence
from trainables.ray_train.search_trial import OBJECTIVE

TIMES = {"epochs": "epoch", "steps": "step"}
NEVER = 10**9
"""Length that no training reaches; the experiment sets how long a training lasts."""


NumberOf = Callable[[Any], int]
"""Returns the number of one of Tune's trials."""


def build_scheduler(search: Search, seed: int, number_of: NumberOf) -> TrialScheduler:
    """Build the scheduler that the settings name, which compares trials by `OBJECTIVE`."""
    scheduler = search.scheduler
    if isinstance(scheduler, Asha):
        return _Asha(
            number_of,
            time_attr=_time(scheduler.grace),
            metric=OBJECTIVE,
            mode="max",
            max_t=NEVER,
            grace_period=scheduler.grace.count,
            reduction_factor=scheduler.reduction_factor,
        )
    if isinstance(scheduler, MedianStopping):
        return MedianRule(
            number_of,
            time_attr=_time(scheduler.grace),
            grace_period=scheduler.grace.count,
            min_trials=scheduler.min_trials,
        )
    if isinstance(scheduler, PopulationBased):
        return _build_pbt(scheduler, search, np.random.default_rng(seed))
    return FIFOScheduler()


def _time(cadence: Cadence) -> str:
    return TIMES[cadence.unit]


def _build_pbt(scheduler: PopulationBased, search: Search, random: np.random.Generator) -> TrialScheduler:
    mutated = {key: search.space[key] for key in scheduler.mutates}

    def keep_inside(config: dict[str, Any]) -> dict[str, Any]:
        """Clip the mutated settings: a product with 1.2 or 0.8 may lie outside the range, or be no integer."""
        return {**config, **{key: clip(dimension, config[key]) for key, dimension in mutated.items()}}

    def draw(dimension: Dimension) -> Any:
        return list(dimension.choice) if dimension.choice is not None else lambda: dimension.draw(random)

    return _PopulationBased(
        time_attr=_time(scheduler.perturb_every),
        metric=OBJECTIVE,
        mode="max",
        perturbation_interval=scheduler.perturb_every.count,
        hyperparam_mutations={key: draw(dimension) for key, dimension in mutated.items()},
        quantile_fraction=scheduler.quantile,
        resample_probability=scheduler.resample_ratio,
        custom_explore_fn=keep_inside,
        log_config=False,
        require_attrs=False,
        synch=True,  # all trials are compared at the same time, also when not all have room at once
    )


class _PopulationBased(PopulationBasedTraining):
    """Population-based training beside a searcher, which Ray's refuses, as one may learn from its own points alone.

    Ours only gives out the trials here: the settings refuse a searcher that learns.
    """

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(cast(Any, SimpleNamespace(search_alg=None)), trial)


def clip(dimension: Dimension, value: Any) -> Any:
    """Return the nearest value of a range; a choice is returned as it is."""
    if dimension.choice is not None:
        return value
    low, high = dimension.bounds
    if dimension.integer is None and dimension.loginteger is None:
        return float(min(max(value, low), high))
    whole = low + round((value - low) / dimension.step) * dimension.step
    return int(min(max(whole, low), high - (high - low) % dimension.step))


class MedianRule(FIFOScheduler):
    """Median stopping rule (Golovin et al. 2017, "Google Vizier", 3.2.2), with what trials reached before a restart.

    A trial stops at time t when its best value is below the median, over the other trials that have come as far, of
    their mean value from the grace period to t. Ray's own cannot be given earlier results.
    """

    def __init__(self, number_of: NumberOf, *, time_attr: str, grace_period: int, min_trials: int) -> None:
        """Create the rule.

        Args:
            number_of: Numbers Tune's trials.
            time_attr: Key of the time in a result.
            grace_period: Time before which no trial is stopped, and no value counts.
            min_trials: Other trials that must have come as far.
        """
        super().__init__()
        self._number_of, self._time_attr = number_of, time_attr
        self._grace_period, self._min_trials = grace_period, min_trials
        self._values: dict[int, list[tuple[float, float]]] = {}

    def recall(self, number: int, results: Iterable[Mapping[str, float]]) -> None:
        """Add the results of a trial from before a restart, without a decision."""
        self._values[number] = [(result[self._time_attr], result[OBJECTIVE]) for result in results]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if self._time_attr not in result or OBJECTIVE not in result:
            return self.CONTINUE
        number, now = self._number_of(trial), result[self._time_attr]
        mine = self._values.setdefault(number, [])
        mine.append((now, result[OBJECTIVE]))
        means = [mean for other in self._values if other != number for mean in self._mean(other, now)]
        if now < self._grace_period or len(means) < self._min_trials:
            return self.CONTINUE
        best = max(value for _, value in mine)
        return self.STOP if best < np.median(means) else self.CONTINUE

    def _mean(self, number: int, until: float) -> list[float]:
        """Return the mean of a trial that has come as far, in a list; an empty one for any other."""
        values = self._values[number]
        if not values or values[-1][0] < until:
            return []
        counted = [value for time, value in values if self._grace_period <= time <= until]
        mean = float(np.mean(counted)) if counted else math.nan
        return [mean] if math.isfinite(mean) else []


class _Asha(AsyncHyperBandScheduler):
    """ASHA that takes into account what trials reached before a restart."""

    def __init__(self, number_of: NumberOf, **settings: Any) -> None:
        super().__init__(**settings)
        self._number_of = number_of
        self._earlier: dict[int, list[dict[str, float]]] = {}

    def recall(self, number: int, results: Iterable[dict[str, float]], *, is_over: bool) -> None:
        """Add the results of a trial from before a restart; those of an open one count when Tune adds it again."""
        if is_over:
            self._replay(SimpleNamespace(trial_id=f"earlier_{number}"), results)
        else:
            self._earlier[number] = list(results)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Give a trial a bracket, and its earlier results."""
        super().on_trial_add(tune_controller, trial)
        for result in self._earlier.pop(self._number_of(trial), []):
            super().on_trial_result(tune_controller, trial, result)

    def _replay(self, trial: Any, results: Iterable[dict[str, float]]) -> None:
        controller: Any = None  # which ASHA does not use, as little as more of a trial than its id
        super().on_trial_add(controller, trial)
        result: dict[str, float] = {}
        for result in results:
            super().on_trial_result(controller, trial, result)
        super().on_trial_complete(controller, trial, result)


def replay_results(scheduler: TrialScheduler, setup: SweepPlan, trials: Iterable[Trial]) -> None:
    """Replay the results of earlier trials, from their records, in ASHA or the median rule."""
    settings = setup.search.scheduler
    if not isinstance(settings, Asha | MedianStopping):
        return
    for trial in trials:
        results = list(_results(setup, trial, _time(settings.grace)))
        if results and isinstance(scheduler, MedianRule):
            scheduler.recall(trial.number, results)
        elif results and isinstance(scheduler, _Asha):
            scheduler.recall(trial.number, results, is_over=trial.is_over)


def _results(setup: SweepPlan, trial: Trial, time: str) -> Iterator[dict[str, float]]:
    goal = setup.goals(trial)[0]
    sign = 1.0 if goal.mode == "max" else -1.0
    run = setup.run(trial)
    lengths = [event["steps_per_epoch"] for event in _read_lines(run, EVENTS)[:1]]
    for row in read_rows(run) if lengths else []:
        value = row.get(goal.metric)
        if value is not None and math.isfinite(value):
            passed = row["step"] if time == "step" else row["step"] // lengths[0]
            yield {time: passed, OBJECTIVE: sign * value}


def read_rows(run: Folder) -> list[dict[str, float]]:
    """Return the rows of a run's record."""
    return _read_lines(run, METRICS)


def _read_lines(run: Folder, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RecordFile(run, name).lines()]

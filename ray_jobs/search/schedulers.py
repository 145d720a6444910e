"""Tune schedulers built from settings, and the replay of results from before an interruption."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.append_file import whole_lines
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


def build_scheduler(search: Search, seed: int) -> TrialScheduler:
    """Build the scheduler that the settings name, which compares trials by `OBJECTIVE`."""
    scheduler = search.scheduler
    if isinstance(scheduler, Asha):
        return AsyncHyperBandScheduler(
            time_attr=_time(scheduler.grace),
            metric=OBJECTIVE,
            mode="max",
            max_t=NEVER,
            grace_period=scheduler.grace.count,
            reduction_factor=scheduler.reduction_factor,
        )
    if isinstance(scheduler, MedianStopping):
        return _Median(
            time_attr=_time(scheduler.grace),
            metric=OBJECTIVE,
            mode="max",
            grace_period=scheduler.grace.count,
            min_samples_required=scheduler.min_trials,
            min_time_slice=NEVER,
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

    return PopulationBasedTraining(
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


def clip(dimension: Dimension, value: Any) -> Any:
    """Return the nearest value of a range; a choice is returned as it is."""
    if dimension.choice is not None:
        return value
    low, high = dimension.bounds
    if dimension.integer is None and dimension.loginteger is None:
        return float(min(max(value, low), high))
    whole = low + round((value - low) / dimension.step) * dimension.step
    return int(min(max(whole, low), high - (high - low) % dimension.step))


class _Median(MedianStoppingRule):
    """Median stopping rule that takes into account what trials reached before an interruption."""

    def recall(self, trial: Any, results: Iterable[dict[str, float]]) -> None:
        """Add the results of an earlier trial, without a decision on that trial."""
        self._results[trial] += results

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Give a resumed trial the results that were recalled under its id."""
        super().on_trial_add(tune_controller, trial)
        for known in [other for other in self._results if other.trial_id == trial.trial_id]:
            self._results[trial] = self._results.pop(known)


@dataclass(frozen=True)
class _Earlier:
    """Stub of an earlier trial, with what ASHA and the median rule read of one."""

    trial_id: str


class _NoController:
    """Stub controller for Tune while earlier results are replayed: no trial is live."""

    def get_live_trials(self) -> list[Any]:
        return []


def replay_results(scheduler: TrialScheduler, setup: SweepPlan, trials: Iterable[Trial]) -> None:
    """Replay the results of earlier trials, from their records, in ASHA or the median rule."""
    settings = setup.search.scheduler
    if not isinstance(settings, Asha | MedianStopping):
        return
    time = _time(settings.grace)
    for trial in trials:
        results = list(_results(setup, trial, time))
        if not results:
            continue
        earlier: Any = _Earlier(trial.id)
        if isinstance(scheduler, _Median):
            scheduler.recall(earlier, results)
            continue
        scheduler.on_trial_add(_NoController(), earlier)  # pyright: ignore
        for result in results:
            scheduler.on_trial_result(_NoController(), earlier, result)  # pyright: ignore
        if trial.is_over:
            scheduler.on_trial_complete(_NoController(), earlier, results[-1])  # pyright: ignore


def _results(setup: SweepPlan, trial: Trial, time: str) -> Iterable[dict[str, float]]:
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
    content = run.read(name) if run.exists(name) else b""
    return [json.loads(line) for line in whole_lines(content).splitlines()]

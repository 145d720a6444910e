"""The `sweep` verb: trials under Tune, one driver, one record; the same command resumes after any interruption."""

import shlex
import time
import uuid
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from ray import tune

from ray_jobs.cluster.connection import connect, has_address
from ray_jobs.cluster.placement_groups import GroupRemover
from ray_jobs.cluster.ray_logs import capture_ray_logs
from ray_jobs.cluster.resources import check_resources, count_rooms
from ray_jobs.run_folder.run_lock import locked
from ray_jobs.runs.planning import OnProgress, plan_rows
from ray_jobs.runs.setting_differences import refuse_differences, without_places
from ray_jobs.runs.stop_signals import handle_signals
from ray_jobs.runs.training import RunStoppedError, set_aside
from ray_jobs.runs.tune_run import beside_the_driver
from ray_jobs.search.leaderboard import (
    BEST,
    LeaderboardFiles,
    save_leaderboard,
    summarise_states,
    tabulate_leaderboard,
)
from ray_jobs.search.open_runs import OpenRuns
from ray_jobs.search.plots import save_pictures
from ray_jobs.search.ranking import best_trial, rank
from ray_jobs.search.recorder import SearchRecorder
from ray_jobs.search.samplers import build_sampler
from ray_jobs.search.schedulers import build_scheduler, replay_results
from ray_jobs.search.search_log import SearchLog
from ray_jobs.search.searcher import ResumableSearcher, SharedRows
from ray_jobs.search.sweep_plan import CHANGEABLE, SETTINGS, SweepPlan
from ray_jobs.search.trial_limit import TrialLimit
from ray_jobs.search.trials import Trial, Trials
from ray_jobs.settings.strict_yaml import dump_yaml, parse_yaml
from ray_jobs.text_table import TextTable
from ray_jobs.tracking.callback import search_callbacks
from ray_jobs.tracking.run_gauges import RunGauges
from trainables.ray_train.search_trial import SearchTrial
from trainables.ray_train.worker_main import RunError
from trainables.run import Scaling

TABLE_S = 30.0
"""Seconds between two prints of the leaderboard while trials run."""


@dataclass(frozen=True)
class SweepProgress:
    """Extent of a search: its points and trials, and the limit of those at the same time."""

    num_points: int
    num_trials: int
    limit: TrialLimit
    uses_gpu: bool


def sweep(
    setup: SweepPlan, *, on_progress: OnProgress | None = None, is_new: bool = False, extension: int = 0
) -> dict[str, Any]:
    """Run the search to its end, from its beginning or from where it was interrupted.

    `on_progress` is that of `prepare_data`, `is_new` sets an earlier search aside with its runs, finished or not, and
    `extension` is the number of points to add to those that were tried.

    Returns:
        Name and folder of the search, its trials by state, the best settings of each label, and the names of the plots.

    Raises:
        ValueError: Bad input.
        RunError: No trial gives a value.
        RunStoppedError: The search was asked to stop.
    """
    folder = setup.folder
    folder.make()
    with ExitStack() as stack:
        stack.enter_context(locked(folder))
        if is_new:
            _set_aside(setup)
        _refuse_other_settings(setup)
        stack.enter_context(closing(trials := Trials(folder)))
        stack.enter_context(closing(log := SearchLog(folder)))
        extent = _measure(setup, trials, extension, log)
        plans = [plan_rows(base, on_progress) for base in setup.bases]
        folder.write(SETTINGS, dump_yaml(setup.settings).encode())
        log.say(f"search {setup.name}: {extent.num_trials} trials, {extent.limit.rooms} at a time, in {folder}")
        if any(not trial.is_over for trial in trials) or len(trials) < extent.num_trials:
            with capture_ray_logs(log.append_log):
                _run(setup, trials, extent, log, SharedRows(plans))
        return _conclude(setup, trials, extent, log)


def _set_aside(setup: SweepPlan) -> None:
    """Set the search aside with its runs, which its trials would otherwise find finished."""
    for trial in Trials(setup.folder):
        run = setup.run(trial)
        if run.exists():
            with locked(run):
                set_aside(run)
    set_aside(setup.folder)


def _refuse_other_settings(setup: SweepPlan) -> None:
    """Raise ValueError when a name given by the user belongs to a search with other settings."""
    if not setup.folder.exists(SETTINGS):
        return
    there = _deciding(parse_yaml(setup.folder.read(SETTINGS).decode()))
    advice = "choose another tracking.run_name, or search anew with --new"
    words = f"{setup.folder} holds a search with other settings; {advice}"
    refuse_differences(words, there, _deciding(setup.settings))


def _deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that decide which trials there are and how they are ranked.

    Further experiments are compared by file name, as their folder may have moved, and data and models without their
    places.
    """
    search = {key: value for key, value in settings["search"].items() if key not in CHANGEABLE}
    search["experiments"] = [PurePath(file).name for file in search["experiments"]]
    further = {label: without_places(each) for label, each in (settings.get("further") or {}).items()}
    return {"search": search, **without_places(settings), "further": further}


def _measure(setup: SweepPlan, trials: Trials, extension: int, log: SearchLog) -> SweepProgress:
    """Measure the extent of the search. Raises ValueError when there is nothing to add, or no room."""
    tried = len({trial.point for trial in trials})
    if extension and setup.search.method == "grid":
        raise ValueError(
            "a grid has no further points to extend it by; add values to the space, or use searcher: random"
        )
    num_points = max(tried, setup.num_points) + extension
    connect()
    scaling = setup.experiment.scaling
    uses_gpu = check_resources(scaling)
    limit = TrialLimit(
        partial(count_rooms, scaling, uses_gpu),
        setup.search.max_concurrent,
        asks_for_more=has_address(),
        tell=log.say,
    )
    num_trials = num_points * setup.trials_per_point
    if setup.search.scheduler.name == "pbt" and scaling.num_workers > 1 and limit.rooms < num_trials:
        raise ValueError(
            f"population-based training with several workers needs room for all {num_trials} trials at once, and there "
            f"is room for {limit.rooms}; lower search.num_points or scaling.num_workers"
        )
    return SweepProgress(num_points, num_trials, limit, uses_gpu)


def _run(setup: SweepPlan, trials: Trials, extent: SweepProgress, log: SearchLog, rows: SharedRows) -> None:
    search, seed = setup.search, setup.experiment.seed
    is_pbt = search.scheduler.name == "pbt"
    runs = OpenRuns(setup)
    scheduler = build_scheduler(search, seed, lambda trial: runs.numbers[trial.trial_id])
    replay_results(scheduler, setup, trials)
    reporter = _ConsoleReporter(setup, trials, extent, log)
    goals = setup.goals(next(setup.expand(0, 0, _any_values(setup))))
    searcher = ResumableSearcher(
        setup,
        trials,
        runs,
        rows,
        build_sampler(search, goals, seed),
        num_points=extent.num_points,
        limit=None if is_pbt else extent.limit,  # its trials take turns
        say=log.say,
    )
    recorder = SearchRecorder(setup, trials, runs, reporter.tell)

    def stop(who: str) -> None:
        recorder.is_ending = True
        searcher.end()
        runs.ask_to_stop(who)

    try:
        with search_callbacks(setup.experiment.tracking, runs.of_tune, log.say) as trackers:
            trainable = tune.with_parameters(SearchTrial, shared=rows.datasets)
            tuner = tune.Tuner(
                tune.with_resources(trainable, trial_resources(setup.experiment.scaling, extent.uses_gpu)),
                tune_config=tune.TuneConfig(
                    scheduler=scheduler,
                    search_alg=searcher,
                    trial_name_creator=searcher.names,
                    trial_dirname_creator=searcher.names,
                    num_samples=-1,
                    reuse_actors=setup.experiment.scaling.num_workers == 1,
                ),
                run_config=tune.RunConfig(
                    name=f"tune_{uuid.uuid4().hex[:8]}",
                    storage_path=(setup.folder / "ray").uri,
                    callbacks=[GroupRemover(), RunGauges(runs.name_of), recorder, *trackers],
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=search.retries),
                    checkpoint_config=tune.CheckpointConfig(num_to_keep=4 if is_pbt else None),
                ),
            )
            with handle_signals(stop) as signals:
                tuner.fit()
    finally:
        runs.close_all()
    if any(not trial.is_over for trial in trials) or len(trials) < extent.num_trials:
        raise RunStoppedError(
            "the search was stopped before its end; the same command goes on with it", signals.exit_code
        )
    setup.folder.delete("ray")


def _any_values(setup: SweepPlan) -> dict[str, Any]:
    point = build_sampler(setup.search.model_copy(update={"searcher": "random"}), (), 0).choose(0)
    assert point is not None
    return point


def trial_resources(scaling: Scaling, uses_gpu: bool) -> tune.PlacementGroupFactory:
    """Return the resources that a trial holds: with one worker what the worker needs, else next to nothing.

    A trial with a group of workers is placed on the driver's machine.
    """
    if scaling.num_workers > 1:
        return beside_the_driver()
    selectors: dict[str, Any] = {"bundle_label_selector": [dict(scaling.labels)]} if scaling.labels else {}
    return tune.PlacementGroupFactory([scaling.worker_resources(uses_gpu)], **selectors)


class _ConsoleReporter:
    """Printer of a search's events, and of its leaderboard every `TABLE_S`."""

    def __init__(self, setup: SweepPlan, trials: Trials, extent: SweepProgress, log: SearchLog):
        self._setup, self._trials, self._extent, self._log = setup, trials, extent, log
        self._files = LeaderboardFiles(setup, trials)
        self._printed = time.monotonic()

    def tell(self, trial: Trial, words: str) -> None:
        if words:
            reached = "".join(
                f"  {goal.metric} {value:.4g}"
                for goal, value in zip(self._setup.goals(trial), trial.objectives, strict=False)
            )
            self._log.say(f"trial {trial.number} after epoch {trial.epoch}:{reached}  {words}")
        if trial.is_over:
            self._files.save_when_due()
        if time.monotonic() - self._printed > TABLE_S:
            self._printed = time.monotonic()
            self._log.say(*self.tables())

    def tables(self) -> list[TextTable | str]:
        """Return the leaderboard, and a line with the progress of the search."""
        extent = self._extent
        states = summarise_states(self._trials, extent.num_trials, extent.limit.rooms)
        return [*tabulate_leaderboard(self._setup, self._trials), states]


def _conclude(setup: SweepPlan, trials: Trials, extent: SweepProgress, log: SearchLog) -> dict[str, Any]:
    save_leaderboard(setup, trials)
    pictures = save_pictures(setup, trials)
    log.say(*_ConsoleReporter(setup, trials, extent, log).tables(), f"folder: {setup.folder}")
    best = {}
    for entry in rank(setup, trials):
        if entry.means and entry.label not in best:
            trial = best_trial(entry, setup.goals(entry.trials[0])[0])
            best[entry.label] = {
                "run": setup.run_name(trial),
                "values": trial.values,
                "objectives": list(entry.means),
                "deviations": list(entry.deviations),
            }
    if not best:
        raise RunError(f"no trial of {setup.name} has given a value; see {setup.folder}/leaderboard.csv for the causes")
    page = shlex.join(["quintet", "report", str(setup.folder)])
    log.say(f"next:   {page} makes its page; {BEST} in it is the best trial as an experiment, to train or evaluate")
    states = {state: sum(trial.state == state for trial in trials) for state in ("finished", "stopped", "failed")}
    return {"search": setup.name, "folder": str(setup.folder), **states, "best": best, "pictures": pictures}

"""Tune callback that writes the record of every trial and of the search."""

import time
from collections.abc import Callable
from typing import Any

from ray import tune

from ray_jobs.search.open_runs import OpenRuns
from ray_jobs.search.search_log import LOG
from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trial, Trials
from trainables.engine.files.messages import WorkerReport

LOST = f"its process was lost; see {LOG}"


class SearchRecorder(tune.Callback):
    """Recorder of a search and its trials.

    The recorder changes `trials`, those on disk. `tell` is called at each change, with the trial and a message, which
    is empty when there is nothing to print.
    """

    def __init__(self, setup: SweepPlan, trials: Trials, runs: OpenRuns, tell: Callable[[Trial, str], None]):
        self._setup, self._trials, self._runs, self._tell = setup, trials, runs, tell
        self._since: dict[int, float] = {}
        self._ended: set[int] = set()
        self._stopped_by: dict[int, str] = {}
        self.is_ending = False
        """Whether the search has asked its trials to stop; they wait for its next start."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore of its own, which is never used

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Mark a trial as running: for the first time, after a pause, or with other settings."""
        number = self._runs.numbers[trial.trial_id]
        before = self._trials[number]
        values = {key: trial.config[key] for key in before.values}
        changed = [
            f"{key} {before.values[key]!r} -> {values[key]!r}" for key in values if values[key] != before.values[key]
        ]
        self._since[number] = time.monotonic()
        words = f"goes on from another trial's checkpoint with {', '.join(changed)}" if changed else before.words
        self._put(before.change(state="running", values=values, words=words), words if changed else "")
        if changed:
            self._runs[number].record.log(words)

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Apply a result to the run's record, and to the record of the search."""
        number = self._runs.numbers[trial.trial_id]
        record = self._runs[number].record
        if "message" in result:
            record.log(result["message"], level="WARNING")
        if "error" in result:
            record.log(result["error"], level="ERROR")
            if result["trace"]:
                record.log(result["trace"], level="ERROR")
            self._put(self._trials[number].change(words=result["error"]), "")
        if "report" in result:
            report: WorkerReport = result.pop("report")
            record.apply(report)
            self._take(number, report)

    def _take(self, number: int, report: WorkerReport) -> None:
        trial = self._timed(self._trials[number])
        if report["is_finished"]:
            self._ended.add(number)
        if "stopped_by" in report:
            self._stopped_by[number] = report["stopped_by"]
        epoch = report["step"] // report["steps_per_epoch"]
        moved = trial.change(epoch=epoch, step=report["step"], num_epochs=report["num_epochs"])
        goals, metrics = self._setup.goals(trial), report["metrics"]
        values = tuple(metrics[goal.metric] for goal in goals if goal.metric in metrics)
        is_measured, is_new = len(values) == len(goals), bool(report["speed"]["evaluation_s"])
        takes_last = self._setup.search.take == "last"
        is_better = is_measured and (
            not trial.objectives or takes_last or goals[0].is_better(values[0], trial.objectives[0])
        )
        if is_better and (is_new or values != trial.objectives):
            self._put(moved.change(objectives=values, metrics=dict(metrics)), "")
            return
        self._trials.put(moved, is_kept=False)
        self._tell(moved, "")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Count a failure of a trial, which resumes from its checkpoint."""
        number = self._runs.numbers[trial.trial_id]
        current = self._timed(self._trials[number])
        words = current.words or LOST
        changed = current.change(failures=current.failures + 1, words=words)
        self._put(changed, f"failed ({words}) and goes on from its checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        current = self._trials[self._runs.numbers[trial.trial_id]]
        words = current.words or LOST
        self._end(current.change(state="failed", words=words, failures=current.failures + 1), f"failed: {words}")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Mark a trial as finished, as stopped, or as waiting for the next start of the search."""
        number = self._runs.numbers[trial.trial_id]
        who = self._stopped_by.get(number, "the scheduler")
        if number in self._ended:
            self._end(self._trials[number].change(state="finished", words=""), "finished")
        elif self.is_ending and number in self._stopped_by:
            self._end(self._trials[number].change(state="waiting"), "saved a checkpoint, from which it goes on")
        else:
            self._end(self._trials[number].change(state="stopped", words=f"stopped by {who}"), f"stopped by {who}")

    def _end(self, trial: Trial, words: str) -> None:
        self._put(self._timed(trial), words)
        self._runs.close(trial.number)

    def _timed(self, trial: Trial) -> Trial:
        """Add the running time since the trial's start or the last call; paused time does not count."""
        now = time.monotonic()
        seconds = trial.seconds + now - self._since.get(trial.number, now)
        self._since[trial.number] = now
        return trial.change(seconds=round(seconds, 3))

    def _put(self, trial: Trial, words: str) -> None:
        self._trials.put(trial)
        self._tell(trial, words)

"""The callback of Tune by which the trials of a search, or the one trial of a run, are recorded in Weights & Biases."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ray.tune.logger import LoggerCallback

from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.mirror_handle import MirrorHandle, is_on
from ray_jobs.tracking.tracking_process import Tracker

if TYPE_CHECKING:
    from ray.tune.experiment import Trial


class WandbLoggerCallback(LoggerCallback):
    """Callback that records metrics, pictures, tables and model artifacts of each trial in a W&B run of its own.

    It has the name and the hooks of `ray.air.integrations.wandb.WandbLoggerCallback` and none of its code, which
    imports wandb into the driver. What both do: a W&B run for each trial, named and grouped, with the trial's config;
    its metrics; its models as artifacts; W&B's own variables and keys.

    What this one does besides: the same W&B run goes on when a trial or the driver is restarted, with each row once and
    at its optimiser step; pictures, histograms, tables, inputs and aliases; nothing of W&B runs in the driver, and
    nothing that W&B does fails, stops or delays a trial.

    What it does not: it sends none of the `result` that Tune gives it, which only wakes a process that reads the run's
    record on disk, so the record must have been written by a callback before it. It takes no `project`, `excludes`,
    `api_key_file` and other arguments, as those are settings of the experiment, and it works with no other trainable.
    `start_mirror` starts the mirror of a trial, at the trial's first start and at the first start after an end.
    """

    def __init__(self, start_mirror: Callable[["Trial"], MirrorHandle]):
        self._start_mirror = start_mirror
        self._mirrors: dict[str, MirrorHandle] = {}
        self._ending: list[MirrorHandle] = []

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore of its own, which is never used

    def log_trial_start(self, trial: "Trial") -> None:
        """Start the trial's mirror, unless this is a restart."""
        if trial.trial_id not in self._mirrors:
            self._mirrors[trial.trial_id] = self._start_mirror(trial)

    def log_trial_result(self, iteration: int, trial: "Trial", result: dict[str, Any]) -> None:
        """Notify the mirror that the record has grown."""
        self.log_trial_start(trial)
        self._mirrors[trial.trial_id].notify()

    def log_trial_end(self, trial: "Trial", failed: bool = False) -> None:
        """Signal the end of the run to the mirror; other trials continue while the mirror finishes."""
        mirror = self._mirrors.pop(trial.trial_id, None)
        if mirror is not None:
            mirror.close()
            self._ending.append(mirror)

    def on_experiment_end(self, trials: list["Trial"], **info: Any) -> None:
        """Wait for all mirrors."""
        self.finish_all()

    def finish_all(self) -> None:
        """Wait for all mirrors, also after an interruption, for which Tune calls no hook."""
        self._ending += self._mirrors.values()
        self._mirrors.clear()
        for mirror in self._ending:
            mirror.close()
        while self._ending:
            self._ending.pop(0).finish()


@contextmanager
def run_callbacks(experiment: Experiment, record: RunRecorder) -> Iterator[list[WandbLoggerCallback]]:
    """Yield the callback of a Tune run of one trial, in a list; an empty list when tracking is off."""
    if not is_on(experiment.tracking, record.log):
        yield []
        return
    with _tracked(lambda trial, tracker: MirrorHandle(tracker, record.folder, experiment.tracking, record.log)) as made:
        yield made


class MirroredRun(Protocol):
    """Run that is mirrored."""

    @property
    def experiment(self) -> Experiment:
        """Settings of the run."""
        ...

    @property
    def record(self) -> RunRecorder:
        """Record of the run."""
        ...


@contextmanager
def search_callbacks(
    tracking: Tracking, run_of: Callable[[str], MirroredRun], say: Callable[[str], None]
) -> Iterator[list[WandbLoggerCallback]]:
    """Yield the callback of a search, in a list; an empty list when tracking is off.

    `run_of` returns the run of a trial's id in Tune.
    """

    def start(trial: "Trial", tracker: Tracker) -> MirrorHandle:
        run = run_of(trial.trial_id)
        return MirrorHandle(tracker, run.record.folder, run.experiment.tracking, run.record.log)

    if not is_on(tracking, say):
        yield []
        return
    with _tracked(start) as made:
        yield made


@contextmanager
def _tracked(start: "Callable[[Trial, Tracker], MirrorHandle]") -> Iterator[list[WandbLoggerCallback]]:
    """Yield a callback whose mirrors are all of one process, in a list."""
    with closing(Tracker()) as tracker:
        callback = WandbLoggerCallback(lambda trial: start(trial, tracker))
        try:
            yield [callback]
        finally:
            callback.finish_all()

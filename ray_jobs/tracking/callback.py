"""Replacement of Ray's WandbLoggerCallback that starts, for every trial, a mirror of its run's record.

Ray's own starts two actors for each trial, sends results through a queue in memory, logs at the trial's iteration and
not at the step, starts the W&B run over when a trial is resumed, and waits up to half an hour at the end.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray.air.integrations.wandb import WandbLoggerCallback

from ray_jobs.tracking.mirror_handle import MirrorHandle

if TYPE_CHECKING:
    from ray.tune.experiment import Trial


class RecordWandbCallback(WandbLoggerCallback):
    """Callback that notifies a trial's mirror after each result; it comes after the callback that writes the record.

    `start_mirror` starts the mirror of a trial, at the trial's first start and at the first start after an end.
    """

    def __init__(self, start_mirror: Callable[["Trial"], MirrorHandle]):
        # Ray's own constructor refuses when wandb is not installed; here the mirror reports that
        self._start_mirror = start_mirror
        self._mirrors: dict[str, MirrorHandle] = {}
        self._ending: list[MirrorHandle] = []

    def __del__(self) -> None:
        """Do nothing: there are no actors to end."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore of its own, which is never used

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the mirror handles keys and projects."""

    def log_trial_start(self, trial: "Trial") -> None:
        """Start the trial's mirror, unless this is a restart."""
        if trial.trial_id not in self._mirrors:
            self._mirrors[trial.trial_id] = self._start_mirror(trial)

    def log_trial_result(self, iteration: int, trial: "Trial", result: dict[str, Any]) -> None:
        """Notify the mirror that the record has grown."""
        self.log_trial_start(trial)
        self._mirrors[trial.trial_id].notify()

    def log_trial_save(self, trial: "Trial") -> None:
        """Do nothing: checkpoints and models are in the record."""

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

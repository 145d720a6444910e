"""Ray's WandbLoggerCallback with another way to W&B: for every trial a mirror of its run's record.

Ray's own starts two actors for each trial, sends results through a queue in memory, logs at the trial's iteration and
not at the step, begins a run anew when a trial is resumed, and waits up to half an hour at the end.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray.air.integrations.wandb import WandbLoggerCallback

from ray_jobs.tracking.mirror_handle import MirrorHandle

if TYPE_CHECKING:
    from ray.tune.experiment import Trial


class RecordWandbCallback(WandbLoggerCallback):
    """Stands after the callback that writes the record, and wakes the trial's mirror after each result.

    `start_mirror` makes the mirror of a trial; it is called at the trial's first start, and at its first after an end.
    """

    def __init__(self, start_mirror: Callable[["Trial"], MirrorHandle]):
        # Ray's own constructor refuses when wandb is not installed; here that is the mirror's to say
        self._start_mirror = start_mirror
        self._mirrors: dict[str, MirrorHandle] = {}
        self._ending: list[MirrorHandle] = []

    def __del__(self) -> None:
        """Nothing: there are no actors to end."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore of its own, which is never asked for

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: keys and projects are the mirror's business."""

    def log_trial_start(self, trial: "Trial") -> None:
        """Begin to mirror, unless this is a restart."""
        if trial.trial_id not in self._mirrors:
            self._mirrors[trial.trial_id] = self._start_mirror(trial)

    def log_trial_result(self, iteration: int, trial: "Trial", result: dict[str, Any]) -> None:
        """Wake the mirror: the record has grown."""
        self.log_trial_start(trial)
        self._mirrors[trial.trial_id].notify()

    def log_trial_save(self, trial: "Trial") -> None:
        """Nothing: checkpoints and models are in the record."""

    def log_trial_end(self, trial: "Trial", failed: bool = False) -> None:
        """Tell the mirror that this is all; other trials go on while it finishes."""
        mirror = self._mirrors.pop(trial.trial_id, None)
        if mirror is not None:
            mirror.close()
            self._ending.append(mirror)

    def on_experiment_end(self, trials: list["Trial"], **info: Any) -> None:
        """Wait for the mirrors."""
        self.finish_all()

    def finish_all(self) -> None:
        """Wait for all mirrors, also after an interruption that Tune's hooks do not hear of."""
        self._ending += self._mirrors.values()
        self._mirrors.clear()
        for mirror in self._ending:
            mirror.close()
        while self._ending:
            self._ending.pop(0).finish()

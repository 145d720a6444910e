"""Tracking as the settings ask for it: a mirror for a local training, a callback for one under Tune, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Protocol

from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.mirror_handle import MirrorHandle, Start
from ray_jobs.tracking.mirror_launcher import ForkServer, start_alone
from ray_jobs.tracking.wandb_variables import OFF, mode_of

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from ray_jobs.tracking.callback import RecordWandbCallback


def start_mirror(experiment: Experiment, record: RunRecorder, start: Start = start_alone) -> MirrorHandle:
    """Start the mirror of one run."""
    return MirrorHandle(record.folder, experiment.tracking, record.log, start=start)


@contextmanager
def mirror_run(experiment: Experiment, record: RunRecorder) -> Iterator[MirrorHandle | None]:
    """Yield a mirror, which the block notifies after each report; None when tracking is off."""
    if not _is_on(experiment.tracking, record.log):
        yield None
        return
    mirror = start_mirror(experiment, record)
    try:
        yield mirror
    finally:
        mirror.finish()


@contextmanager
def run_callbacks(experiment: Experiment, record: RunRecorder) -> "Iterator[list[RecordWandbCallback]]":
    """Yield the callback of a Tune run of one trial, in a list; an empty list when tracking is off."""
    if not _is_on(experiment.tracking, record.log):
        yield []
        return
    with _callbacks(lambda trial: start_mirror(experiment, record), record.log) as callbacks:
        yield callbacks


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
) -> "Iterator[list[RecordWandbCallback]]":
    """Yield the callback of a search, in a list; an empty list when tracking is off.

    Args:
        tracking: Settings of the search.
        run_of: Returns the run of a trial's id in Tune.
        say: Prints and logs a message.
    """

    def start(trial: "Trial") -> MirrorHandle:
        run = run_of(trial.trial_id)
        return start_mirror(run.experiment, run.record, fork_server.start)

    if not _is_on(tracking, say):
        yield []
        return
    with closing(ForkServer()) as fork_server, _callbacks(start, lambda text, **_: say(text)) as callbacks:
        yield callbacks


def _is_on(tracking: Tracking, log: Callable[[str], None]) -> bool:
    """Return whether W&B gets anything; a variable that turns it off is logged."""
    if tracking.wandb and mode_of(tracking) == "disabled":
        log(OFF)
        return False
    return tracking.wandb


@contextmanager
def _callbacks(
    start: "Callable[[Trial], MirrorHandle]", log: Callable[..., None]
) -> "Iterator[list[RecordWandbCallback]]":
    """Yield the callback in a list; an empty list when W&B cannot start."""
    try:
        from ray_jobs.tracking.callback import RecordWandbCallback
    except Exception as error:  # containment: a broken package raises anything while it is imported
        log(f"W&B is off: {type(error).__name__} on import: {error}", level="WARNING")
        yield []
        return
    callback = RecordWandbCallback(start)
    try:
        yield [callback]
    finally:
        callback.finish_all()

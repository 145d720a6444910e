"""Tracking as the settings ask for it: a mirror for a local training, a callback for one under Tune, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Protocol

from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.mirror_handle import MirrorHandle, Start
from ray_jobs.tracking.mirror_launcher import ForkServer, start_alone

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from ray_jobs.tracking.callback import RecordWandbCallback


def start_mirror(experiment: Experiment, record: RunRecorder, start: Start = start_alone) -> MirrorHandle:
    """Start the mirror of one run."""
    return MirrorHandle(record.folder, experiment.tracking, record.log, start=start)


@contextmanager
def mirror_run(experiment: Experiment, record: RunRecorder) -> Iterator[MirrorHandle | None]:
    """Yield a mirror, which the block notifies after each report; None when tracking is off."""
    if not experiment.tracking.wandb:
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
    with _callbacks(experiment.tracking, lambda trial: start_mirror(experiment, record), record.log) as callbacks:
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
    tracking: Tracking, run_of: Callable[[int], MirroredRun], say: Callable[[str], None]
) -> "Iterator[list[RecordWandbCallback]]":
    """Yield the callback of a search, in a list; an empty list when tracking is off.

    Args:
        tracking: Settings of the search.
        run_of: Returns the run of a trial's number.
        say: Prints and logs a message.
    """

    def start(trial: "Trial") -> MirrorHandle:
        run = run_of(int(trial.trial_id))
        return start_mirror(run.experiment, run.record, fork_server.start)

    with ExitStack() as stack:
        if tracking.wandb:
            fork_server = stack.enter_context(closing(ForkServer()))
        yield stack.enter_context(_callbacks(tracking, start, lambda text, **_: say(text)))


@contextmanager
def _callbacks(
    tracking: Tracking, start: "Callable[[Trial], MirrorHandle]", log: Callable[..., None]
) -> "Iterator[list[RecordWandbCallback]]":
    """Yield the callback in a list; an empty list when tracking is off or cannot start."""
    if not tracking.wandb:
        yield []
        return
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

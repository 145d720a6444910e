"""Where tracking is switched on: a mirror for a local training, Ray's callback for one under Tune, or nothing."""

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
    """The mirror of one run."""
    return MirrorHandle(record.folder, experiment.tracking, record.log, start=start)


@contextmanager
def mirror_run(experiment: Experiment, record: RunRecorder) -> Iterator[MirrorHandle | None]:
    """A mirror for the block, which wakes it after each report; None when tracking is off."""
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
    """The callback for a Tune run of one trial inside the block; an empty list when tracking is off."""
    with _callbacks(experiment.tracking, lambda trial: start_mirror(experiment, record), record.log) as callbacks:
        yield callbacks


class MirroredRun(Protocol):
    """A run that is mirrored."""

    @property
    def experiment(self) -> Experiment:
        """Its settings."""
        ...

    @property
    def record(self) -> RunRecorder:
        """Its record."""
        ...


@contextmanager
def search_callbacks(
    tracking: Tracking, run_of: Callable[[int], MirroredRun], say: Callable[[str], None]
) -> "Iterator[list[RecordWandbCallback]]":
    """The same for a search; `run_of` gives the run of a trial's number."""

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
    """An empty list when tracking is off or cannot start."""
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

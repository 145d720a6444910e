"""Where tracking is switched on: a mirror for a local training, Ray's callback for one under Tune, or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ray_jobs.experiment import Experiment
from ray_jobs.record import Record
from ray_jobs.tracking.mirror_handle import MirrorHandle

if TYPE_CHECKING:
    from ray_jobs.tracking.callback import RecordWandbCallback


def start_mirror(experiment: Experiment, record: Record) -> MirrorHandle:
    """The mirror of one run."""
    return MirrorHandle(record.folder, experiment.tracking, record.log)


@contextmanager
def mirrored(experiment: Experiment, record: Record) -> Iterator[MirrorHandle | None]:
    """A mirror for the block, which wakes it after each report; None when tracking is off or cannot start."""
    if not experiment.tracking.wandb:
        yield None
        return
    try:
        mirror = start_mirror(experiment, record)
    except OSError as error:
        record.log(f"W&B is off: its process cannot be started ({error})", level="WARNING")
        yield None
        return
    try:
        yield mirror
    finally:
        mirror.finish()


@contextmanager
def mirroring_callbacks(experiment: Experiment, record: Record) -> "Iterator[list[RecordWandbCallback]]":
    """The callback for a Tune run inside the block; an empty list when tracking is off or cannot start."""
    if not experiment.tracking.wandb:
        yield []
        return
    try:
        from ray_jobs.tracking.callback import RecordWandbCallback
    except Exception as error:  # containment: a broken package raises anything while it is imported
        record.log(f"W&B is off: {type(error).__name__} on import: {error}", level="WARNING")
        yield []
        return
    callback = RecordWandbCallback(lambda trial: start_mirror(experiment, record))
    try:
        yield [callback]
    finally:
        callback.finish_all()

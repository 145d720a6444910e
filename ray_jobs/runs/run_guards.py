"""Guards around a training: what is left of a run that is refused or fails."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.inputs import INPUTS
from ray_jobs.run_folder.run_lock import LOCK
from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.model_references import RUNS
from ray_jobs.settings.experiment import Experiment
from trainables.ray_train.worker_main import RunError


@contextmanager
def without_trace_of_refusal(experiment: Experiment) -> Iterator[None]:
    """Make the run's folder; a new one is removed again when the run is refused before it has begun."""
    folder = experiment.folder
    is_there = bool(folder.names())
    folder.make()
    try:
        yield
    except ValueError:
        if not is_there and not folder.exists(INPUTS) and not folder.exists(LOCK):  # which another process may hold
            (Folder(experiment.storage.path) / RUNS).delete(experiment.run_id)
        raise


@contextmanager
def logging_errors(record: RunRecorder) -> Iterator[None]:
    """Write an error that ends the block into the run's log, with its trace."""
    try:
        yield
    except Exception as error:
        is_told = isinstance(error, RunError)
        record.log(str(error) if is_told else f"{type(error).__name__}: {error}", level="ERROR", prints=False)
        record.log(error.trace if is_told else traceback.format_exc(), level="ERROR", prints=False)
        raise

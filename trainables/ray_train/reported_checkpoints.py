"""Checkpoints of a run as Ray Train knows them: where they lie, and which of them it deletes when newer ones come."""

from pathlib import PurePosixPath
from typing import Any

import ray.train
from ray.train import ReportedCheckpointStatus

from data_pipelines.storage.folder import Folder
from trainables.engine.files.messages import WorkerReport
from trainables.run_paths import METADATA, step_of


class ReportedCheckpoints:
    """Checkpoints that rank 0 has reported since the run was started, over all starts of its workers.

    Ray deletes the old ones of them, and ends a run when one has been deleted by others.
    """

    def __init__(self, folder: Folder) -> None:
        """Ask Ray for the checkpoints of earlier workers; call it inside the worker of rank 0."""
        self._folder = folder
        self._names = set(_statuses())

    def has(self, name: str) -> bool:
        """Return whether Ray knows the checkpoint of a name, without its folder."""
        return name in self._names

    def is_failed(self, name: str) -> bool:
        """Return whether the evaluation of a checkpoint beside the training has failed; without its folder."""
        return _statuses().get(name) == ReportedCheckpointStatus.VALIDATION_FAILED

    def add(self, name: str) -> ray.train.Checkpoint | None:
        """Return what is to be reported of a checkpoint in the run's folder; None when Ray knows it.

        That is so when its training was repeated after damage, and it was written again.
        """
        if self.has(PurePosixPath(name).name):
            return None
        self._names.add(PurePosixPath(name).name)
        return ray.train.Checkpoint((self._folder / name).uri)


def _statuses() -> dict[str, ReportedCheckpointStatus]:
    """Return what Ray knows of each checkpoint by name."""
    # by default it would wait for evaluations that are made beside the training
    known = ray.train.get_all_reported_checkpoints(ray.train.CheckpointConsistencyMode.COMMITTED)
    return {PurePosixPath(each.checkpoint.path).name: each.status for each in known}


def reported_metrics(folder: Folder, report: WorkerReport) -> dict[str, Any]:
    """Return the metrics that Ray gets with a report: those of the step of its checkpoint, which may be an earlier one.

    Ray ranks checkpoints by them.
    """
    name = report.get("checkpoint")
    if name is None or step_of(name) == report["step"]:
        return {**report["metrics"], "step": report["step"]}
    return {**folder.read_json(f"{name}/{METADATA}")["metrics"], "step": step_of(name)}

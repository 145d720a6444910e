"""Output of a worker: pictures, model versions and checkpoints as files, the rest collected into the next report."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from trainables.contract.panels import Panel
from trainables.engine.files.checkpoint_writer import CheckpointWriter
from trainables.engine.files.history import Row
from trainables.engine.files.messages import RunPosition, WorkerReport
from trainables.engine.files.model_versions import name_model, write_model
from trainables.engine.files.panel_files import save_panels
from trainables.engine.files.sharded_checkpoint_writer import ShardedCheckpointWriter
from trainables.engine.loop.train_state import TrainState
from trainables.engine.loop.worker_context import WorkerContext
from trainables.engine.step.sharding import gather
from trainables.run import Run
from trainables.run_paths import CHECKPOINTS, MODELS, step_name


class WorkerReporter:
    """Reporter of one rank: rank 0 writes; the others take part in collectives and in the report.

    If the training is sharded they also write their part of each checkpoint.
    """

    def __init__(self, run: Run, worker: WorkerContext):
        self._run, self._worker = run, worker
        self._is_writer = worker.collectives.rank == 0
        self._has_reserved = False
        self._complete: list[str] = []
        """Checkpoints that are complete and not reported yet."""
        self.evaluated: set[str] = set()
        """Checkpoints that are to be evaluated beside the training, once they are complete."""
        self._checkpoints = self._build_checkpoint_writer()
        self._empty()

    def _build_checkpoint_writer(self) -> CheckpointWriter | None:
        worker, keep, is_beside = self._worker, self._run.training.keep_checkpoints, not self._worker.awaits_checkpoints

        def is_deleted_elsewhere(name: str) -> bool:
            return f"{CHECKPOINTS}/{name}" in self.evaluated or worker.is_deleted_elsewhere(name)

        if worker.is_sharded:
            return ShardedCheckpointWriter(
                worker.folder, keep, is_deleted_elsewhere, worker.collectives, is_beside=is_beside
            )
        if not self._is_writer:
            return None
        return CheckpointWriter(worker.folder, keep, is_deleted_elsewhere, is_beside=is_beside)

    @contextmanager
    def forward_warnings(self) -> Iterator[None]:
        """Add warnings that our packages log on this worker to the next report, inside the block."""
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.log([record.getMessage()])
        loggers = [logging.getLogger(name) for name in ("trainables", "data_pipelines")]
        for logger in loggers:
            logger.addHandler(handler)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(handler)

    def _empty(self) -> None:
        self._rows: list[Row] = []
        self._epoch_means: dict[str, float] = {}
        self._panels: list[str] = []
        self._messages: list[str] = []
        self._optional: dict[str, Any] = {}

    def log(self, messages: Sequence[str]) -> None:
        """Add lines for the log to the next report."""
        self._messages += messages

    def add_rows(self, rows: list[Row]) -> None:
        """Set the rows of the next report; they may still change until `send`."""
        self._rows = rows

    def set_newest_row(self, row: Row) -> None:
        """Show the row of the newest step in the next report, without giving it to the record."""
        self._optional["newest_row"] = row

    def set_epoch_means(self, means: dict[str, float]) -> None:
        """Set the running epoch's mean of each metric, sent with the next report."""
        self._epoch_means = means

    def set_resumed_from(self, checkpoint: str | None, recorded_step: int) -> None:
        """Record the checkpoint that the run resumed from, None for a fresh start, and the last step with a row."""
        self._optional |= {"resumed_from": checkpoint, "recorded_step": recorded_step}

    def set_checkpoint(self, name: str) -> None:
        """Attach a checkpoint that is complete to the next report."""
        self._complete.append(name)

    def set_stopped_by(self, who: str) -> None:
        """Record the author of the request that stops the run here."""
        self._optional["stopped_by"] = who

    def add_panels(self, descriptions: Sequence[str]) -> None:
        """Attach panel files that are already on disk to the next report."""
        self._panels += descriptions

    def save_panels(self, panels: Sequence[Panel], state: TrainState) -> None:
        """Write pictures and tables, and attach them to the next report."""
        if self._is_writer:
            folder, position = self._worker.folder, state.position
            self._panels += save_panels(folder, panels, step=position.step, epoch=position.epoch)

    def save_model(self, state: TrainState, aliases: Sequence[str], *, is_kept: bool, keeps_best: bool) -> None:
        """Write a model version, name it, and attach it to the next report; see `model_versions.name_model`.

        A collective if the training is sharded.
        """
        weights = gather(state.optimization.evaluated.state_dict(), is_kept=self._is_writer)
        if not self._is_writer:
            return
        folder, version = self._worker.folder, step_name(state.position.step)
        task_state, metadata = state.task.state_dict(), self._describe(state)
        write_model(folder, f"{MODELS}/{version}", weights=weights, task_state=task_state, metadata=metadata)
        self.name_model(version, aliases, is_kept=is_kept, keeps_best=keeps_best)

    def name_model(self, version: str, aliases: Sequence[str], *, is_kept: bool, keeps_best: bool = False) -> None:
        """Give aliases to a model version that is there, and attach it to the next report. Rank 0 only."""
        name_model(self._worker.folder, version, aliases, is_kept=is_kept, keeps_best=keeps_best)
        self._optional |= {"aliases": list(aliases), "model": f"{MODELS}/{version}"}

    def _describe(self, state: TrainState) -> dict[str, Any]:
        return {
            "run_id": self._worker.run_id,
            "epoch": state.position.epoch,
            "global_step": state.position.step,
            "metrics": state.position.latest,
            "num_parameters": sum(parameter.numel() for parameter in state.optimization.evaluated.parameters()),
            "data_spec": dict(self._worker.data_spec),
            "learnt": dict(state.task.learnt()),
            "workload": self._run.workload.model_dump(mode="json"),
            "config": self._run.model_dump(mode="json"),
        }

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Complete the checkpoint that is being written when the block ends, also by an error."""
        with self._checkpoints or nullcontext():
            yield

    def reserve_checkpoints(self, state: TrainState) -> None:
        """Take the memory of checkpoints beside the training, once. A collective.

        Not where none is saved before the end.
        """
        training = self._run.training
        is_saved = training.checkpoint_every or training.checkpoint_every_steps or training.evaluate == "beside"
        if self._has_reserved or not is_saved:
            return
        self._has_reserved = True
        checkpoint = state.capture(self._worker.collectives)
        if self._checkpoints:
            self._checkpoints.reserve(checkpoint)

    def save_checkpoint(self, state: TrainState) -> None:
        """Copy a checkpoint, which is written beside the training and attached to a report once complete. A collective.

        Raises the error of the one before, if that could not be written.
        """
        self._has_reserved = True
        checkpoint = state.capture(self._worker.collectives)
        if self._checkpoints:
            self.log(self._checkpoints.save(state.position.step, checkpoint, self._describe(state)))

    def wait_for_checkpoint(self) -> None:
        """Wait until no checkpoint is being written. Raises the error of the writing."""
        if self._checkpoints:
            self._checkpoints.wait()

    def send(self, standing: RunPosition) -> None:
        """Send one report, on all ranks; the reporter is empty afterwards.

        Raises the error of a checkpoint that could not be written.
        """
        self._attach_checkpoint()
        report: WorkerReport = {
            **standing,
            "rows": self._rows,
            "epoch_means": self._epoch_means,
            "panels": self._panels,
            "messages": self._messages,
            **self._optional,  # pyright: ignore
        }
        self._empty()
        self._worker.report(report)

    def _attach_checkpoint(self) -> None:
        """Attach the newest checkpoint; one that is to be evaluated goes first, and newer ones follow it."""
        if self._checkpoints:
            self._complete += self._checkpoints.take()
        if self._complete:
            due = [name for name in self._complete if name in self.evaluated]
            name = due[0] if due else self._complete[-1]
            del self._complete[: self._complete.index(name) + 1]
            self._optional |= {"checkpoint": name, **({"evaluates": True} if due else {})}

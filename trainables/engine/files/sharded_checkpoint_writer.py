"""Writer of the checkpoints of a sharded training: each rank writes its shards, and no rank ever holds all of them."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from data_pipelines.storage.folder import Folder
from data_pipelines.storage.folder_writer import FolderWriter, begin_files, complete_files
from trainables.engine.files.checkpoint_writer import CheckpointWriter, run_in_thread
from trainables.engine.files.checkpoints import Checkpoint, checkpoint_name, write_files
from trainables.engine.files.tensor_files import Shard
from trainables.engine.files.tensor_tree import map_tensors
from trainables.engine.process.collectives import ProcessGroup


class ShardedCheckpointWriter(CheckpointWriter):
    """Writer of one rank; all ranks write into one folder, each in a thread, and rank 0 seals it when all are done.

    Its methods are collectives. After an error no rank waits for the others, and what they wrote is no checkpoint.
    """

    def __init__(
        self,
        folder: Folder,
        keep: int,
        is_deleted_elsewhere: Callable[[str], bool],
        collectives: ProcessGroup,
        *,
        is_beside: bool,
    ):
        """Write into the run's folder, which all ranks reach; see `CheckpointWriter`."""
        super().__init__(folder, keep, is_deleted_elsewhere, is_beside=is_beside)
        self._collectives, self._is_first = collectives, collectives.rank == 0

    def save(self, step: int, checkpoint: Checkpoint, metadata: Any) -> list[str]:
        """Copy this rank's part of a checkpoint and begin to write it; see `CheckpointWriter.save`."""
        return super().save(step, self._own(checkpoint), metadata)

    def reserve(self, checkpoint: Checkpoint) -> None:
        super().reserve(self._own(checkpoint))

    def _own(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return what this rank writes: tensors that every rank has are written by rank 0."""
        return checkpoint if self._is_first else _without_whole_tensors(checkpoint)

    def _begin(self, step: int, checkpoint: Checkpoint, metadata: dict[str, Any]) -> Future[Any]:
        name, group = checkpoint_name(step), self._collectives
        filling = Folder(group.broadcast(begin_files(self._folder, name).uri if self._is_first else None))
        self._filling = filling

        def write() -> tuple[str, FolderWriter]:
            writer = FolderWriter(filling)
            write_files(writer, checkpoint, metadata, group.rank)
            return name, writer

        return run_in_thread(write)

    def _num_bytes(self) -> int:
        return sum(self._collectives.gather_values(self._copy.num_bytes))

    def _is_written(self, running: Future[Any]) -> bool:
        return all(self._collectives.gather_values(running.done()))

    def _complete(self, running: Future[Any]) -> str:
        error = running.exception()
        name, writer = ("", None) if error else running.result()
        words = f"{type(error).__name__}: {error}" if error else ""
        found = self._collectives.gather_values((words, writer.files if writer else {}))
        failed = {rank: words for rank, (words, _) in enumerate(found) if words}
        if failed:
            if self._is_first and self._filling.is_local:
                self._filling.parent.delete(self._filling.name)
            each = "; ".join(f"worker {rank}: {words}" for rank, words in failed.items())
            raise OSError(f"the checkpoint could not be written by {each}") from error
        if self._is_first and writer:
            for _, files in found[1:]:
                writer.files |= files
            complete_files(writer, self._folder, name)
        return name

    def _delete_old(self) -> None:
        if self._is_first:
            super()._delete_old()

    def _wait_after_error(self) -> None:
        """Do nothing: the others may not come."""


def _without_whole_tensors(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint of the shards alone."""

    def shards(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in tensors.items() if isinstance(value, Shard)}

    return Checkpoint(
        model=shards(checkpoint.model),
        ema=None if checkpoint.ema is None else shards(checkpoint.ema),
        state=map_tensors(checkpoint.state, lambda _, value: value if isinstance(value, Shard) else None),
        history=b"",
    )

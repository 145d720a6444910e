"""Writer of checkpoints beside the training: the step waits only for a copy of the state in main memory."""

import copy
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from data_pipelines.storage.folder import Folder
from trainables.engine.files.checkpoints import Checkpoint, list_old_checkpoints, write_checkpoint
from trainables.engine.files.tensor_files import Shard, is_plain
from trainables.engine.files.tensor_tree import map_tensors

logger = logging.getLogger(__name__)

MIN_BYTES_BESIDE = 16 * 2**20
"""A smaller state is complete before the next step, in a fraction of a second, and goes with the report of its step."""


class CheckpointWriter:
    """Writer of one run's checkpoints on rank 0, one at a time, in a thread of its own.

    As a context it waits for the end of the writing, except when the process is asked to end at once. The thread never
    keeps the process from ending: what it leaves then is no checkpoint, as after a kill.
    """

    def __init__(self, folder: Folder, keep: int, is_deleted_elsewhere: Callable[[str], bool], *, is_beside: bool):
        """Write into the run's folder.

        `keep` is the number of checkpoints to keep, `is_deleted_elsewhere` whether others delete the checkpoint of a
        name when it is old, and `is_beside` whether the training goes on while a large checkpoint is written.
        """
        self._folder, self._keep, self._is_deleted_elsewhere = folder, keep, is_deleted_elsewhere
        self._is_beside = is_beside
        self._copy = HostCopy()
        self._reserving: Future[None] | None = None
        self._running: Future[str] | None = None
        self._deleting: Future[None] | None = None
        self._names: list[str] = []
        """Checkpoints that are complete and not taken yet."""
        self._has_waited = False

    def reserve(self, checkpoint: Checkpoint) -> None:
        """Take the memory of the copies beside the training, which the first save would wait for."""
        if self._is_beside and self._reserving is None:
            self._reserving = run_in_thread(self._copy.reserve, list_plain(checkpoint))

    def save(self, step: int, checkpoint: Checkpoint, metadata: Mapping[str, Any]) -> list[str]:
        """Copy a checkpoint and begin to write it; returns messages for the log.

        Waits for the one before, and raises its error.
        """
        messages = []
        if self._running and not self._running.done() and not self._has_waited:
            self._has_waited = True
            messages.append(
                f"the checkpoint of step {step} waits until the one before is written; save them less often "
                "(training.checkpoint_every) if that should not slow the training down"
            )
        self.wait()
        if self._reserving:
            self._reserving.result()
        copied = self._copy.of(checkpoint)
        self._running = self._begin(step, copied, copy.deepcopy(dict(metadata)))
        if not self._is_beside or self._num_bytes() < MIN_BYTES_BESIDE:
            self.wait()
        return messages

    def _begin(self, step: int, checkpoint: Checkpoint, metadata: dict[str, Any]) -> Future[Any]:
        """Begin to write a checkpoint, which nothing changes any more."""
        return run_in_thread(write_checkpoint, self._folder, step, checkpoint, metadata)

    def _num_bytes(self) -> int:
        return self._copy.num_bytes

    def _is_written(self, running: Future[Any]) -> bool:
        """Return whether `_complete` would not wait."""
        return running.done()

    def _complete(self, running: Future[Any]) -> str:
        """Return the name of the checkpoint once it is complete. Raises the error of the writing."""
        return running.result()

    def wait(self) -> None:
        """Wait until nothing is being written, and old checkpoints are deleted. Raises the error of either."""
        if self._running:
            self._finish()
        if self._deleting:
            deleting, self._deleting = self._deleting, None
            deleting.result()

    def take(self) -> list[str]:
        """Return the names of the checkpoints that are complete, oldest first, each once; does not wait.

        Raises the error of the writing.
        """
        if self._running and self._is_written(self._running):
            self._finish()
        names, self._names = self._names, []
        return names

    def _finish(self) -> None:
        """Take the result of the writing; the caller's thread decides what is old, before it reports."""
        assert self._running
        running, self._running = self._running, None
        self._names.append(self._complete(running))
        self._delete_old()

    def _delete_old(self) -> None:
        """Begin to delete the checkpoints that are not kept, now that there is a newer one."""
        old = list_old_checkpoints(self._folder, self._names[-1], self._keep, self._is_deleted_elsewhere)
        self._deleting = run_in_thread(self._delete, old)

    def _delete(self, names: list[str]) -> None:
        for name in names:
            self._folder.delete(name)

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if error is None:
            self.wait()
        elif isinstance(error, Exception):
            self._wait_after_error()

    def _wait_after_error(self) -> None:
        try:
            self.wait()
        except Exception as of_writing:
            logger.warning("the last checkpoint could not be written: %s", of_writing)


class HostCopy:
    """Copies of a state in main memory; each takes the place of the one before, whose memory it uses."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}
        self.num_bytes = 0
        """Bytes of the newest copy."""

    def reserve(self, tensors: Mapping[str, Tensor]) -> None:
        """Allocate the buffers of a large state, and touch their memory; values are not read."""
        if sum(tensor.nbytes for tensor in tensors.values()) >= MIN_BYTES_BESIDE:
            self._buffers = {
                name: torch.zeros_like(tensor, device="cpu", requires_grad=False) for name, tensor in tensors.items()
            }

    def of(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a copy that shares nothing with the state; the work of the device on it is done when this returns."""
        before, self._buffers, self.num_bytes = self._buffers, {}, 0

        def copy_tensor(name: str, tensor: Tensor | Shard) -> Tensor | Shard:
            if isinstance(tensor, Shard):
                return replace(tensor, part=copy_tensor(name, tensor.part))
            if not is_plain(tensor):
                return tensor.detach().cpu().clone()
            self.num_bytes += tensor.nbytes
            buffer = before.get(name)
            if buffer is None or _form(buffer) != _form(tensor):
                buffer = torch.empty_like(tensor, device="cpu", requires_grad=False)
            self._buffers[name] = buffer
            return buffer.copy_(tensor.detach())

        return Checkpoint(**map_tensors(_parts(checkpoint), copy_tensor), history=checkpoint.history)


def list_plain(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors of a state that `HostCopy` copies into buffers, by name."""
    found: dict[str, Tensor] = {}

    def keep(name: str, tensor: Tensor | Shard) -> None:
        tensor = tensor.part if isinstance(tensor, Shard) else tensor
        if is_plain(tensor):
            found[name] = tensor

    map_tensors(_parts(checkpoint), keep)
    return found


def _parts(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"model": checkpoint.model, "ema": checkpoint.ema, "state": checkpoint.state}


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.stride()


def run_in_thread(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Call a function in a thread that ends with the process; returns its future."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="checkpoint", daemon=True).start()
    return future

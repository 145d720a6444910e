"""Checkpoints: the state to resume a run bit for bit, protected by checksums, loaded without running any pickle.

The tensors of the weights (`model`), of their average (`ema`) and of all other state (`state`) lie in safetensors files
of bounded size, those of a sharded training written by the rank that has them; `state.pt` holds the plain data, with a
placeholder for each tensor.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_pipelines.storage.checksums import listed_files, verify
from data_pipelines.storage.folder import Folder, to_json
from data_pipelines.storage.folder_writer import FolderWriter, new_files
from trainables.engine.files.tensor_files import Shard, load_tensors, split_tensors
from trainables.engine.files.tensor_tree import put_tensors, take_tensors
from trainables.run_paths import CHECKPOINT_STATE, CHECKPOINTS, HISTORY, METADATA, step_name

FORMAT = 2
READ_FORMATS = (1, 2)
"""Of the first, `state.pt` holds the tensors themselves."""


class FormatError(ValueError):
    """A checkpoint of a format that is not read."""


@dataclass
class Checkpoint:
    """Content of one checkpoint; that of one rank if the training is sharded, with its shards in place of tensors."""

    model: dict[str, Any]
    ema: dict[str, Any] | None
    state: dict[str, Any]
    """Tensors and plain data: optimiser, schedule, scaler, task, random states of every rank, position, meters."""
    history: bytes
    """Gzip file of all rows so far."""


def deleted_by_nobody(name: str) -> bool:
    """Return False: the default where nobody else deletes checkpoints."""
    return False


def write_checkpoint(
    folder: Folder, step: int, checkpoint: Checkpoint, metadata: Mapping[str, Any] | None = None
) -> str:
    """Write a checkpoint, which counts only when this returns its name in the folder; called by rank 0.

    The optimiser steps that are done name it, and its content must not change meanwhile. `metadata` is plain data,
    written beside it as in a model version, so that it can be used without its run.
    """
    name = checkpoint_name(step)
    with new_files(folder, name) as writer:
        write_files(writer, checkpoint, metadata)
    return name


def checkpoint_name(step: int) -> str:
    """Return the name in the run's folder of the checkpoint after so many optimiser steps."""
    return f"{CHECKPOINTS}/{step_name(step)}"


def write_files(
    writer: FolderWriter, checkpoint: Checkpoint, metadata: Mapping[str, Any] | None, rank: int = 0
) -> None:
    """Write the files of a checkpoint; ranks but the first write their shards alone."""
    tree, tensors = take_tensors(checkpoint.state)
    groups = {"model": checkpoint.model, "ema": checkpoint.ema, "state": tensors}
    for group, content in groups.items():
        if content is None:
            continue
        if rank > 0:
            content = {name: value for name, value in content.items() if isinstance(value, Shard)}
        for file, part in split_tensors(group, content, rank).items():
            writer.write(file, part.chunks())
    if rank > 0:
        return
    state = io.BytesIO()
    torch.save({"format": FORMAT, **tree}, state)
    writer.write(CHECKPOINT_STATE, [state.getbuffer()])
    writer.write(HISTORY, [checkpoint.history])
    if metadata is not None:
        writer.write(METADATA, [to_json(metadata)])


def list_old_checkpoints(
    folder: Folder, newest: str, keep: int, is_deleted_elsewhere: Callable[[str], bool]
) -> list[str]:
    """Return the names of all checkpoints but the newest, without those that others delete.

    Those later than `newest` are damaged, else the run had gone on from there, and do not count. The other arguments
    are those of `CheckpointWriter`.
    """
    until = [name for name in folder.names(CHECKPOINTS) if f"{CHECKPOINTS}/{name}" <= newest]
    return [f"{CHECKPOINTS}/{name}" for name in until[:-keep] if not is_deleted_elsewhere(name)]


def find_checkpoint(folder: Folder) -> tuple[str | None, list[str]]:
    """Return the name of the newest undamaged checkpoint, or None, and a message for each damaged one skipped."""
    damaged = []
    for entry in reversed(folder.names(CHECKPOINTS)):
        name = f"{CHECKPOINTS}/{entry}"
        with folder.local(name) as files:
            damage = verify(files)
        if damage is None:
            return name, damaged
        damaged.append(f"checkpoint {folder}/{name} is damaged ({damage}) and is not used")
    return None, damaged


def load_checkpoint(folder: Folder, name: str) -> Checkpoint:
    """Read a checkpoint. Raises ValueError naming it when it is unreadable or of a format that is not read."""
    with folder.local(name) as files:
        try:
            tree, load = _load_tree(files), partial(load_tensors, files, files=listed_files(files))
            return Checkpoint(
                model=load("model"),
                ema=load("ema") if _has_ema(files) else None,
                state=put_tensors(tree, load("state") if tree["format"] > 1 else {}),
                history=(files / HISTORY).read_bytes(),
            )
        except FormatError as error:
            raise ValueError(f"checkpoint {folder}/{name} {error}") from error
        except Exception as error:
            raise ValueError(f"checkpoint {folder}/{name} cannot be read: {error}") from error


def load_evaluated(files: Path) -> dict[str, Any]:
    """Read what is evaluated of a checkpoint in a local folder, without the optimiser's tensors.

    Returns `weights`, averaged ones where there are such, `task`, `epoch` and `step`.
    """
    tree, branch = _load_tree(files), "['task']"
    load = partial(load_tensors, files, files=listed_files(files))
    tensors = load("state", branch) if tree["format"] > 1 else {}
    return {
        "weights": load("ema" if _has_ema(files) else "model"),
        "task": put_tensors(tree["task"], tensors, branch),
        "epoch": tree["position"]["epoch"],
        "step": tree["position"]["step"],
    }


def _has_ema(files: Path) -> bool:
    return (files / "ema.safetensors").exists()


def _load_tree(files: Path) -> dict[str, Any]:
    tree = torch.load(files / CHECKPOINT_STATE, map_location="cpu", weights_only=True)
    if tree.get("format") not in READ_FORMATS:
        known = " and ".join(map(str, READ_FORMATS))
        raise FormatError(f"has format {tree.get('format')}; this version reads {known}")
    return tree


def refuse_other_architecture(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], origin: str) -> None:
    """Raise ValueError with the keys and shapes in which two state dicts differ."""
    lines = [f"  missing: {key}" for key in expected if key not in found]
    lines += [f"  unknown: {key}" for key in found if key not in expected]
    lines += [
        f"  {key}: {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in found and expected[key].shape != found[key].shape
    ]
    if lines:
        shown = lines[:20] + ([f"  and {len(lines) - 20} more"] if len(lines) > 20 else [])
        raise ValueError("\n".join([f"{origin} is of another architecture; {len(lines)} keys differ:", *shown]))

"""Checkpoints: the state to resume a run bit for bit, protected by checksums, loaded without running any pickle."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_pipelines.storage.checksums import verify
from data_pipelines.storage.folder import Folder
from trainables.run_paths import CHECKPOINTS, HISTORY, METADATA, step_name

FORMAT = 1


@dataclass
class Checkpoint:
    """Content of one checkpoint."""

    model: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    state: dict[str, Any]
    """Tensors and plain data: optimiser, schedule, scaler, task, random states of every rank, position, meters."""
    history: bytes
    """Gzip file of all rows so far."""


def deleted_by_nobody(name: str) -> bool:
    """Return False: the default where nobody else deletes checkpoints."""
    return False


def save_checkpoint(
    folder: Folder,
    step: int,
    checkpoint: Checkpoint,
    keep: int,
    is_deleted_elsewhere: Callable[[str], bool] = deleted_by_nobody,
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Write a checkpoint, then delete the oldest ones; called by rank 0.

    Args:
        folder: The run's folder.
        step: Optimiser steps done; it names the checkpoint.
        checkpoint: The content.
        keep: Number of checkpoints to keep.
        is_deleted_elsewhere: Whether others delete the checkpoint of a name when it is old.
        metadata: Plain data, written beside it as in a model version, so that it can be used without its run.

    Returns:
        The checkpoint's name in the folder.
    """
    name = f"{CHECKPOINTS}/{step_name(step)}"
    with folder.new_folder(name) as files:
        save_tensors(checkpoint.model, files / "model.safetensors")
        if checkpoint.ema is not None:
            save_tensors(checkpoint.ema, files / "ema.safetensors")
        torch.save({"format": FORMAT, **checkpoint.state}, files / "state.pt")
        (files / HISTORY).write_bytes(checkpoint.history)
        if metadata is not None:
            Folder(str(files)).write_json(METADATA, metadata)
    for old in folder.names(CHECKPOINTS)[:-keep]:
        if not is_deleted_elsewhere(old):
            folder.delete(f"{CHECKPOINTS}/{old}")
    return name


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
    """Read a checkpoint. Raises ValueError naming it when it is unreadable or of another format."""
    with folder.local(name) as files:
        try:
            state = torch.load(files / "state.pt", map_location="cpu", weights_only=True)
            ema = files / "ema.safetensors"
            checkpoint = Checkpoint(
                model=load_file(files / "model.safetensors"),
                ema=load_file(ema) if ema.exists() else None,
                state=state,
                history=(files / HISTORY).read_bytes(),
            )
        except Exception as error:
            raise ValueError(f"checkpoint {folder}/{name} cannot be read: {error}") from error
    if state.get("format") != FORMAT:
        raise ValueError(f"checkpoint {folder}/{name} has format {state.get('format')}; this version reads {FORMAT}")
    return checkpoint


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors as safetensors; tied tensors are written once for each name."""
    seen: set[int] = set()
    plain = {}
    for name, tensor in tensors.items():
        cpu = tensor.detach().cpu().contiguous()
        memory = cpu.untyped_storage().data_ptr()
        plain[name] = cpu.clone() if memory in seen else cpu
        seen.add(memory)
    save_file(plain, file)


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

"""Model versions: inference weights, kept apart from the training state; one name, many versions, two aliases.

All versions of a run belong to one artifact, `model`, so that `best` is one version of the run and not one per epoch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from data_pipelines.storage.folder import Folder
from trainables.engine.files.tensor_files import save_tensors
from trainables.run_paths import ALIASES, METADATA, MODELS, Aliases, load_aliases


def write_model(
    folder: Folder,
    name: str,
    *,
    weights: Mapping[str, Tensor],
    task_state: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> None:
    """Write the files of a model version into a new folder, without an alias. Rank 0 only.

    `weights` are the state dict of the module to use for inference, and `task_state` is `Task.state_dict`.
    """
    with folder.new_folder(name) as files:
        save_tensors(weights, files / "model.safetensors")
        torch.save(dict(task_state), files / "task.pt")
        Folder(str(files)).write_json(METADATA, metadata)


def name_model(
    folder: Folder, version: str, aliases: Sequence[str], *, is_kept: bool, keeps_best: bool = False
) -> None:
    """Move aliases to a model version, and delete versions without an alias. Rank 0 only.

    `aliases` are any of `latest` and `best`. `is_kept` is whether the version is never deleted, and `keeps_best`
    whether the one that is `best` now is never deleted either, when another becomes `best`.
    """
    known = load_aliases(folder)
    best = version if "best" in aliases else known["best"]
    kept = {*known["kept"], *([version] if is_kept else []), *([best] if keeps_best and best else [])}
    named: Aliases = {
        "latest": version if "latest" in aliases else known["latest"],
        "best": best,
        "kept": sorted(kept),
    }
    folder.write_json(ALIASES, named)
    for old in folder.names(MODELS):
        if old.startswith("step_") and old not in {named["latest"], named["best"], *kept}:
            folder.delete(f"{MODELS}/{old}")

"""Paths inside a run's folder; imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from data_pipelines.storage.folder import Folder

CHECKPOINTS = "checkpoints"
CHECKPOINT_STATE = "state.pt"
"""In a checkpoint: all but the tensors."""
HISTORY = "history.jsonl.gz"
"""In a checkpoint: all rows so far."""
MODELS = "models"
ALIASES = f"{MODELS}/aliases.json"
PICTURES = "pictures"
EVALUATIONS = "evaluations"
BESIDE = "beside"
"""Folder of what was evaluated beside the training, by step, until the run is finished."""
PREDICTIONS = "predictions.csv"
"""In the folder of an evaluation: what was scored, a row for each sample."""


METADATA = "metadata.json"
"""In a model version: workload, data spec, metrics, epoch and step."""


def model_data_spec(metadata: Mapping[str, Any]) -> Any:
    """Return the data spec in a model's metadata, which version 0.1 calls `facts`; None when there is none."""
    return metadata.get("data_spec", metadata.get("facts"))


def step_name(step: int) -> str:
    """Return the name for the state after `step` optimiser steps; names sort as steps do."""
    return f"step_{step:09d}"


def step_of(name: str) -> int:
    """Return the step in the name of a checkpoint, model version or picture, in any folder."""
    return int(Path(name).stem.removeprefix("step_"))


class Aliases(TypedDict):
    """Model version by alias; `kept` are the versions that `models_every` keeps."""

    latest: str | None
    best: str | None
    kept: list[str]


def load_aliases(folder: Folder) -> Aliases:
    """Read the aliases of a run; all empty before the first model."""
    if not folder.exists(ALIASES):
        return {"latest": None, "best": None, "kept": []}
    return folder.read_json(ALIASES)


def named_model(run: Folder, alias: Literal["best", "latest"] = "best") -> Folder | None:
    """Return the model version that an alias names; without one, the latest; None when there is no model."""
    known = load_aliases(run)
    version = known[alias] or known["latest"]
    return run / f"{MODELS}/{version}" if version else None


def refuse_checkpoint(folder: Path, use: str) -> None:
    """Raise ValueError when a local folder is a checkpoint, which holds no weights that were chosen, and perhaps parts.

    `use` says in words what its weights are for.
    """
    if (folder / CHECKPOINT_STATE).is_file():
        raise ValueError(f"{use}: {folder} is a checkpoint; give its run, or one of the run's models")


def find_panels(folder: Folder, *, until_step: int) -> list[str]:
    """Return the description files of all panels up to a step, in order of steps."""
    names = [name for name in folder.find(PICTURES, ".json") if step_of(name) <= until_step]
    return sorted(names, key=lambda name: (step_of(name), name))

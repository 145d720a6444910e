"""Reading a saved model without its run: settings, data spec and weights stand in its own folder."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from data_pipelines.storage.checksums import MANIFEST
from data_pipelines.storage.folder import Folder
from trainables.contract.predictor import SavedModel
from trainables.contract.task import Task
from trainables.contract.workload_config import WorkloadConfig
from trainables.engine.loop.saved_model_evaluation import load_saved, restore_task
from trainables.run_paths import CHECKPOINT_STATE, METADATA, MODELS, model_data_spec, named_model
from trainables.workloads import AnyWorkload, build_task

_WORKLOAD: TypeAdapter[WorkloadConfig] = TypeAdapter(AnyWorkload)


@dataclass(frozen=True)
class ModelState:
    """Weights and task state of a saved model, on the CPU."""

    weights: Mapping[str, Tensor]
    task: Mapping[str, Any]


def open_model(source: Folder) -> SavedModel:
    """Read what a model's folder says of it, without its weights.

    `source` is a model version or checkpoint, or a run's folder, whose best model is meant.

    Raises:
        ValueError: There is no model; the message says what lies there.
    """
    folder = find_version(source)
    metadata = _read_metadata(folder)
    try:
        workload = _WORKLOAD.validate_json(json.dumps(metadata["workload"]))
    except ValueError as error:
        raise ValueError(f"{folder}/{METADATA}: its settings cannot be read: {error}") from error
    return SavedModel(
        source=str(folder),
        workload=workload,
        data_spec=model_data_spec(metadata),
        seed=metadata["config"]["seed"],
        epoch=metadata["epoch"],
        step=metadata["global_step"],
        metrics=metadata["metrics"],
        learnt=metadata.get("learnt", {}),
        digest=hashlib.sha256(folder.read_if_any(MANIFEST) or b"").hexdigest(),
    )


def find_version(source: Folder) -> Folder:
    """Return the best model version of a run's folder, or the folder itself. Raises ValueError for no model."""
    if not source.exists():
        raise ValueError(f"{source} does not exist; give the folder of a model or of a run")
    return named_model(source) or source


def load_task(model: SavedModel, state: ModelState, device: torch.device) -> Task[Any]:
    """Build the model's task with its weights, in eval mode. Raises ValueError for weights of another architecture."""
    task = build_task(model.workload, model.data_spec, model.seed)
    restore_task(task, state.weights, state.task, model.source)
    task.module.to(device).eval().requires_grad_(False)
    return task


def load_state(model: SavedModel) -> ModelState:
    """Read weights and task state. Raises ValueError when a file is damaged."""
    saved = load_saved(Folder(model.source))
    return ModelState(saved["weights"], saved["task"])


def _read_metadata(folder: Folder) -> Mapping[str, Any]:
    if not folder.exists(METADATA):
        what = "a checkpoint of an older version" if folder.exists(CHECKPOINT_STATE) else "no model"
        raise ValueError(
            f"{folder} is {what}; give a run's folder or a model version such as RUN/{MODELS}/step_000000100"
        )
    return folder.read_json(METADATA)

"""Reader of a trained flow-matching model's folder, from which reflow starts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from data_pipelines.contract.pipeline import DataSpec
from trainables.run_paths import METADATA, model_data_spec, refuse_checkpoint
from trainables.workloads.flow_matching.config import FlowMatchingConfig

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, TASK_STATE = "model.safetensors", "task.pt"
DATA_SPEC = ("channels", "height", "width", "class_names")


@dataclass(frozen=True)
class TeacherCard:
    """Content of the model's `metadata.json`; reading it imports no torch."""

    config: FlowMatchingConfig
    data_spec: DataSpec


def find_file(folder: Path, name: str) -> Path:
    """Return the path of a file in the folder. Raises ValueError when it is missing, or the folder is a checkpoint."""
    refuse_checkpoint(folder, "the teacher")
    file = folder / name
    if not file.is_file():
        raise ValueError(f"no {name} in the teacher's folder {folder}; give the folder of a saved flow-matching model")
    return file


def read_card(folder: Path) -> TeacherCard:
    """Read the metadata. Raises ValueError naming the file when it is missing or not that of a flow-matching model."""
    file = find_file(folder, METADATA)
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
        card = TeacherCard(FlowMatchingConfig.model_validate(metadata["workload"]), model_data_spec(metadata))
        missing = [name for name in DATA_SPEC if name not in card.data_spec]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValidationError) as error:
        raise ValueError(f"{file} does not describe a flow-matching model: {error}") from error
    if missing:
        raise ValueError(f"{file} lacks the data spec of {', '.join(missing)}")
    return card


def load_weights(folder: Path) -> "dict[str, Tensor]":
    """Read the network's state dict, on the CPU."""
    from trainables.contract.external_weights import read_weights

    return read_weights(find_file(folder, WEIGHTS))


def load_task_state(folder: Path) -> dict[str, Any]:
    """Read the teacher's statistics of its real images; empty when they were not saved."""
    from trainables.contract.external_weights import read_saved

    file = folder / TASK_STATE
    return read_saved(file) if file.exists() else {}


def refuse_other_network(
    teacher: TeacherCard, student: FlowMatchingConfig, data_spec: DataSpec, *, folder: Path
) -> None:
    """Raise ValueError with each setting of the network that differs; dropout has no weights and may differ."""
    theirs = teacher.config.network.model_dump(exclude={"dropout"}) | {key: teacher.data_spec[key] for key in DATA_SPEC}
    ours = student.network.model_dump(exclude={"dropout"}) | {key: data_spec[key] for key in DATA_SPEC}
    differing = [f"{key}: teacher {theirs[key]}, here {ours[key]}" for key in theirs if theirs[key] != ours[key]]
    if differing:
        raise ValueError(f"the teacher {folder} is of another architecture; {'; '.join(differing)}")

"""Pretrained encoders, read from a saved pretraining model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.storage.folder import Folder
from trainables.contract.external_weights import read_weights
from trainables.run_paths import METADATA, model_data_spec, named_model, refuse_checkpoint
from trainables.workloads.heart_sound.networks.config import EncoderConfig

WEIGHTS = "model.safetensors"
PREFIX = "encoder."
SAMPLE_SETTINGS = ("sample_rate", "band_hz", "unit", "num_samples", "window_s")
"""Settings of the data that decide the form of a sample."""


@dataclass(frozen=True)
class Card:
    """Content of a pretraining model's `metadata.json`."""

    encoder: EncoderConfig
    data: Mapping[str, Any]
    """Settings as JSON."""
    subjects: Mapping[str, Sequence[str]]
    """Subjects by split."""


def find_model(path: Path) -> Path:
    """Return the folder of a model; of a run its best one. Raises ValueError when there is none."""
    model = named_model(Folder(str(path)))
    path = path if model is None else Path(model.path)
    refuse_checkpoint(path, "`workload.pretrained`")
    for name in (WEIGHTS, METADATA):
        if not (path / name).is_file():
            raise ValueError(f"`workload.pretrained`: no {name} in {path}; give a pretraining run or one of its models")
    return path


def load_encoder(path: Path, settings: EncoderConfig) -> dict[str, Tensor]:
    """Read the encoder's state dict, on the CPU. Raises ValueError naming each setting in which the encoders differ."""
    folder = find_model(path)
    theirs = _read_card(folder).encoder
    ours = settings.model_dump(exclude={"dropout"})
    differing = [
        f"{name}: pretrained {value}, here {ours[name]}"
        for name, value in theirs.model_dump(exclude={"dropout"}).items()
        if value != ours[name]
    ]
    if differing:
        raise ValueError(f"the encoder in {folder} is of another architecture; {'; '.join(differing)}")
    weights = read_weights(folder / WEIGHTS)
    return {name.removeprefix(PREFIX): tensor for name, tensor in weights.items() if name.startswith(PREFIX)}


def differing_data(path: Path, data: HeartData) -> list[str]:
    """Describe the settings in which the pretraining's samples differ."""
    theirs = _read_card(find_model(path)).data
    ours = data.model_dump(mode="json", include=set(SAMPLE_SETTINGS))
    return [f"{name}: pretrained {theirs[name]}, here {value}" for name, value in ours.items() if theirs[name] != value]


def pretraining_subjects(path: Path) -> set[str]:
    """Return all subjects that the pretraining was trained on or selected its model by."""
    subjects = _read_card(find_model(path)).subjects
    return {*subjects["train"], *subjects["val"]}


def _read_card(folder: Path) -> Card:
    file = folder / METADATA
    try:
        metadata: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        workload = metadata["workload"]
        encoder = EncoderConfig.model_validate(workload["encoder"])
        data = {name: workload["data"][name] for name in SAMPLE_SETTINGS}
        return Card(encoder, data, model_data_spec(metadata)["subjects"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValidationError) as error:
        raise ValueError(f"{file} does not describe a heart-sound model: {error}") from error

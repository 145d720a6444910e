"""Small saved models of video prediction, and clips to predict."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_pipelines.storage.folder import Folder
from data_pipelines.video.pipeline import VideoPipeline
from tests.saved_models import save_task
from tests.trainables.workloads.video_prediction.conftest import CPU, DATA, tiny_config, tiny_task
from trainables.inference.loading import load_model, read_options
from trainables.inference.model_files import open_model
from trainables.inference.predict_folder import PredictionPlan, predict_folder, work_here
from trainables.workloads.video_prediction.predictor import VideoPredictionPredictor

SIMVP = {"network": {"name": "simvp", "channels": 8, "num_blocks": 1, "hidden_channels": 8}}


def save_tiny(folder: Path, **changes: Any) -> str:
    config = tiny_config(**changes)
    return save_task(folder, tiny_task(config), config, VideoPipeline(config.data).data_spec())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three frames from two of 12x16, by diffusion."""
    return save_tiny(tmp_path_factory.mktemp("dit"))


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("simvp"), **SIMVP)


@pytest.fixture(scope="module")
def strided(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("strided"), **SIMVP, data={**DATA, "sample_interval": 2})


def load(saved: str, **options: Any) -> VideoPredictionPredictor:
    predictor = load_model(saved, device="cpu", **options)
    assert isinstance(predictor, VideoPredictionPredictor)
    return predictor


def predict(saved: str, source: Path | str, out: Path, **options: Any) -> dict[str, Any]:
    model = open_model(Folder(saved))
    plan = PredictionPlan(model, read_options(model, options), Folder(str(out)))
    return predict_folder(plan, Folder(str(source)), work_here(plan, CPU))


def save_clip(folder: Path, count: int, *, first: int = 0, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    """Frames of noise, which follow from their numbers; returns [time, height, width]."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8) for number in range(first, count)]
    for number, frame in enumerate(frames, start=first):
        Image.fromarray(frame).save(folder / f"frame{number:03d}.png")
    return np.stack(frames)


def read_png(file: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file.read_bytes())))


def read_rows(out: Path) -> list[dict[str, str]]:
    header, *lines = (out / "predictions.csv").read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]

"""Small models that were never trained, saved as a run saves them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.tasks import TASKS
from tests.saved_models import save_task
from trainables.inference.loading import load_model
from trainables.workloads import build_task, config_class
from trainables.workloads.heart_sound.finetune.predictor import HeartSoundPredictor

ENCODER = {"channels": [4, 4, 6, 8], "sequence": "none", "dropout": 0.0}
RULE = (1.0, 0.25, 3.0)
"""Multipliers of the first classes."""


@pytest.fixture(scope="module")
def save_untrained(tmp_path_factory) -> Callable[..., str]:
    """Saves a model of random weights, whose answers differ between recordings; returns its folder."""

    def save(task: str = "circor_murmur", pooling: Mapping[str, str] | None = None, **data: Any) -> str:
        settings = {"sample_rate": 1000, "num_samples": 128, **data}
        workload = config_class("heart_sound_finetune").model_validate(
            {
                "name": "heart_sound_finetune",
                "task": task,
                "encoder": ENCODER,
                "data": settings,
                "pooling": pooling or {},
            }
        )
        heart = HeartData.model_validate(settings)
        spec = {
            "num_samples": heart.num_samples,
            "preprocessing": heart.model_dump(
                mode="json", include={"sample_rate", "band_hz", "unit", "num_samples", "window_s"}
            ),
            "class_names": list(TASKS[task].classes),
            "num_recordings": {},
        }
        built = build_task(workload, spec, 3)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            last = built.module.get_submodule("classifier.4")
            assert isinstance(last, nn.Linear)
            last.weight.copy_(4 * torch.randn(last.weight.shape, generator=generator))
            if "cycles_per_bag" in data:
                built.module.get_parameter("attention.score.weight").mul_(50)
        kept = {
            "score": TASKS[task].decision_scores[0],
            "multipliers": dict(zip(TASKS[task].classes, RULE, strict=False)),
            "pooling": workload.model_dump(mode="json")["pooling"],
        }
        built.load_state_dict({**built.state_dict(), "decision": kept})
        return save_task(tmp_path_factory.mktemp("run"), built, workload, spec, 3, step=7) + "/models/step_000000007"

    return save


@pytest.fixture(scope="module")
def murmur_model(save_untrained) -> str:
    """Folder of a model of murmurs by heart cycles of 128 values at 1 kHz."""
    return save_untrained()


@pytest.fixture(scope="module")
def load() -> Callable[..., HeartSoundPredictor]:
    """Loads a model on the CPU, with options of the prediction."""

    def load_predictor(source: str, **options: Any) -> HeartSoundPredictor:
        predictor = load_model(source, device="cpu", **options)
        assert isinstance(predictor, HeartSoundPredictor)
        return predictor

    return load_predictor


@pytest.fixture(scope="module")
def murmur_predictor(load, murmur_model) -> HeartSoundPredictor:
    """Predictor of that model."""
    return load(murmur_model)

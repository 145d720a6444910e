"""Tiny models of every workload, saved as a training leaves them, and exported once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from data_pipelines.storage.folder import Folder
from tests.saved_models import save_task
from tests.trainables.workloads.super_resolution.conftest import NETWORKS
from tests.trainables.workloads.video_prediction.conftest import DATA, NETWORK
from trainables.contract.predictor import SavedModel
from trainables.inference.export.export_model import export_model
from trainables.inference.model_files import open_model
from trainables.workloads import build_pipeline, build_task, config_class

ENCODER = {"channels": [4, 4, 6, 8], "num_layers": 1, "state_size": 2, "num_heads": 2}
TRANSFORMER = {**ENCODER, "sequence": "transformer"}
HEART = {"sample_rate": 1000, "num_samples": 128, "synthetic": {"num_subjects": 12, "duration_s": 4.0}}
FLOW = {"base_channels": 8, "channel_multipliers": [1, 2], "num_res_blocks": 1, "num_heads": 2, "num_groups": 4}
SYMUNET = {"name": "symunet", "width": 4, "encoder_blocks": [1], "decoder_blocks": [1], "encoder_heads": [1]}
SYMUNET |= {"middle_blocks": 1, "middle_heads": 2}


def video(network: dict[str, Any], **diffusion: Any) -> dict[str, Any]:
    settings = {"num_timesteps": 20, **diffusion}
    evaluation = {"sampling": {"num_steps": 3}}
    return {
        "name": "video_prediction",
        "data": DATA,
        "network": network,
        "diffusion": settings,
        "evaluation": evaluation,
    }


def enlarging(network: dict[str, Any], *scales: int) -> dict[str, Any]:
    data = {"source": "photographs", "scales": list(scales), "lr_patch_size": 12}
    return {"name": "super_resolution", "data": data, "network": network}


MODELS: dict[str, dict[str, Any]] = {
    "flow_matching": {"name": "flow_matching", "network": FLOW, "data": {"source": "digits"}}
    | {"evaluation": {"sampling": {"solver": "heun", "nfe": 6, "guidance": 2.0}}},
    "super_resolution": enlarging(NETWORKS["edsr"], 2, 3),
    "symunet": enlarging(SYMUNET, 2),
    "post": enlarging({**SYMUNET, "upsampling": "post"}, 2),
    "transenet": enlarging(NETWORKS["transenet"], 2),
    "video_prediction": video({"name": "dit", **NETWORK}),
    "simvp": video({"name": "simvp", "channels": 8, "hidden_channels": 16, "num_blocks": 1}),
    "pruning": {"name": "pruning", "arch": "res20s", "data": {"source": "digits"}},
    "heart_sound_pretrain": {"name": "heart_sound_pretrain", "encoder": ENCODER, "data": HEART},
    "heart_sound_finetune": {"name": "heart_sound_finetune", "encoder": TRANSFORMER, "data": HEART},
    "attention": {"name": "heart_sound_finetune", "encoder": {**ENCODER, "sequence": "none"}}
    | {"data": {**HEART, "cycles_per_bag": 4}, "pooling": {"cycles": "attention"}},
}
"""Settings of workloads by the name of the model."""
METRICS = {"val/accuracy": 0.75, "baseline/val/accuracy": 0.5, "train/grad_norm": 1.0, "decision/normal": 0.4}


def save_tiny(workload: dict[str, Any], folder: Path) -> SavedModel:
    """Save a model of these settings, with random weights that give no zeros, as the best one of a run."""
    config = config_class(workload["name"]).model_validate(workload)
    data_spec = build_pipeline(config).data_spec()
    task = build_task(config, data_spec, seed=3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in task.module.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    save_task(folder, task, config, data_spec, 3, step=7, epoch=2, metrics=METRICS)
    return open_model(Folder(str(folder)))


Exported = Callable[[str], Path]


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SavedModel]:
    """Models by name, each saved once."""
    known: dict[str, SavedModel] = {}

    def save(name: str) -> SavedModel:
        if name not in known:
            known[name] = save_tiny(MODELS[name], tmp_path_factory.mktemp(name))
        return known[name]

    return save


@pytest.fixture(scope="session")
def exported(saved, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Folders of all formats of a model, each written once."""
    known: dict[str, Path] = {}

    def export(name: str) -> Path:
        if name not in known:
            known[name] = tmp_path_factory.mktemp("exported") / name
            export_model(saved(name), Folder(str(known[name])), ["safetensors", "pt2", "onnx"])
        return known[name]

    return export

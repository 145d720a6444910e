"""Small clips, small networks, and batches for the tests of this workload."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from data_pipelines.contract.row_draws import numpy_draws
from data_pipelines.video.pipeline import VideoPipeline
from tests.ranks import Ranks
from tests.tasks import seeded
from trainables.contract.seeding import seeded_initialisation
from trainables.contract.train_context import StartContext
from trainables.workloads.video_prediction.autoencoder import VaeShape
from trainables.workloads.video_prediction.config import VideoPredictionConfig
from trainables.workloads.video_prediction.networks.vae import Vae
from trainables.workloads.video_prediction.task import VideoPredictionTask

CPU = torch.device("cpu")
DATA = {
    "height": 12,
    "width": 16,
    "num_past": 2,
    "num_future": 3,
    "digits": {"num_train_clips": 4, "num_test_clips": 6, "num_frames": 12, "digit_size": 6},
}
NETWORK = {"size": "mini", "past": {"channels": 8, "num_groups": 4, "num_layers": 1, "patch_size": 4}}


def tiny_config(**changes: Any) -> VideoPredictionConfig:
    """Two past and three future frames of 12x16 pixels."""
    settings = {
        "data": DATA,
        "network": {"name": "dit", **NETWORK},
        "diffusion": {"num_timesteps": 20},
        "evaluation": {"sampling": {"num_steps": 3}},
    }
    return VideoPredictionConfig.model_validate(settings | changes)


def tiny_task(config: VideoPredictionConfig, seed: int = 0) -> VideoPredictionTask:
    """Its network gives more than zeros."""
    task = seeded(VideoPredictionTask)(config, VideoPipeline(config.data).data_spec(), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in task.module.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return task


def tiny_clips(config: VideoPredictionConfig, num_rows: int = 4, seed: int = 0) -> dict[str, Tensor]:
    """Clips of noise, a little longer than a window."""
    pipeline = VideoPipeline(config.data)
    return pipeline.collate(pipeline.make_fake_rows(num_rows, seed))


def tiny_windows(config: VideoPredictionConfig, num_rows: int = 4, seed: int = 0) -> dict[str, Tensor]:
    """Training windows of them."""
    pipeline = VideoPipeline(config.data)
    return pipeline.collate_train(pipeline.make_fake_rows(num_rows, seed), numpy_draws(num_rows, seed))


def start_of(config: VideoPredictionConfig, collectives: Ranks, num_rows: int = 6) -> StartContext:
    """This rank's contiguous share of the clips, one by one."""

    def batches(split: str) -> Iterator[dict[str, Tensor]]:
        pipeline = VideoPipeline(config.data)
        table = pipeline.make_fake_rows(num_rows, seed=0)
        share = num_rows // collectives.world_size
        for row in range(collectives.rank * share, (collectives.rank + 1) * share):
            yield pipeline.collate(table.slice(row, 1))

    return StartContext(batches, collectives, CPU, seed=3)


def save_autoencoder(folder: Path, seed: int = 0) -> Path:
    """In the form of diffusers, tiny, with random weights; two pixels to a latent."""
    shape = VaeShape(block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2)
    with seeded_initialisation(seed, "vae"):
        weights = Vae(shape).state_dict()
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", **shape._asdict()}))
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    return folder


class Repeat(nn.Module):
    """Predicts the last past frame, a little brighter with every call."""

    def __init__(self, num_future: int, gain: float = 0.0) -> None:
        super().__init__()
        self.num_future, self.gain = num_future, gain

    def forward(self, past: Tensor) -> Tensor:
        return (past[:, -1:] + self.gain).repeat(1, self.num_future, 1, 1, 1)

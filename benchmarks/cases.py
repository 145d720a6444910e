"""What the ladder measures for each workload: made-up raw data, settings, and the size of a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.synthetic import write_cifar10_like, write_heart_sounds, write_images, write_moving_mnist_like


@dataclass(frozen=True)
class Case:
    """One workload of a size that a CPU steps through in a tenth of a second or so."""

    write_raw: Callable[[Path, int], object]
    """Writes so many files or rows to a folder."""
    num_raw: int
    workload: dict[str, Any]
    """Settings; the path of the data is filled in."""
    batch_size: int
    path_key: str = "path"
    """Which of the data's settings that is."""


CASES = {
    "flow_matching": Case(
        write_cifar10_like,
        1500,  # `begin` learns a feature network from them
        {
            "name": "flow_matching",
            "data": {"source": "cifar10"},
            "network": {"base_channels": 16, "num_groups": 8},
            "pictures": {"num_per_class": 1, "sampling": {"nfe": 1}, "comparisons": []},
            "evaluation": {"num_samples": 64, "sampling": {"nfe": 1, "guidance": 1.0}},
        },
        batch_size=32,
    ),
    "super_resolution": Case(
        partial(write_images, side=256),
        400,
        {
            "name": "super_resolution",
            "data": {"source": "folder", "scales": [4], "lr_patch_size": 24},
            "network": {"name": "edsr", "num_blocks": 8, "num_channels": 32},
        },
        batch_size=8,
    ),
    "video_prediction": Case(
        write_moving_mnist_like,
        400,
        {
            "name": "video_prediction",
            "data": {"source": "moving_mnist", "horizontal_flip": True, "brightness": 0.1},
            "network": {
                "name": "dit",
                "size": "mini",
                "patch_size": 8,
                "past": {"channels": 32, "num_groups": 8, "patch_size": 4},
            },
            "evaluation": {"sampling": {"num_steps": 1}},
        },
        batch_size=4,
    ),
    "pruning": Case(
        write_cifar10_like,
        4000,
        {
            "name": "pruning",
            "arch": "res20s",
            "pruning_times": 1,
            "data": {"source": "cifar10", "crop_padding": 4, "horizontal_flip": True},
        },
        batch_size=32,
    ),
    "heart_sound_pretrain": Case(
        partial(write_heart_sounds, duration_s=12),
        150,
        {
            "name": "heart_sound_pretrain",
            "data": {"sample_rate": 2000, "num_samples": 1600, "filters_cycles": False},
            "encoder": {"channels": [16, 32, 48, 64], "num_layers": 1, "state_size": 8},
        },
        batch_size=16,
        path_key="folder",
    ),
}

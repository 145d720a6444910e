"""Small images, small networks, and batches for the tests of this workload."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from data_pipelines.contract.row_draws import numpy_draws
from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from tests.ranks import Ranks
from trainables.contract.train_context import StartContext
from trainables.workloads.super_resolution.config import SuperResolutionConfig

CPU = torch.device("cpu")
EDSR = {"name": "edsr", "num_blocks": 1, "num_channels": 8}
SYMUNET = {
    "name": "symunet",
    "width": 4,
    "encoder_blocks": [1, 1],
    "decoder_blocks": [1, 1],
    "encoder_heads": [1, 2],
    "middle_heads": 2,
}
TRANSENET = {
    "name": "transenet",
    "num_channels": 8,
    "blocks_per_stage": 1,
    "reduced_channels": 4,
    "patch_side": 4,
    "token_dim": 16,
    "encoder_depth": 1,
    "num_heads": 2,
    "head_dim": 4,
    "feedforward_dim": 16,
}
NETWORKS = {"edsr": EDSR, "symunet": SYMUNET, "post": {**SYMUNET, "upsampling": "post"}, "transenet": TRANSENET}


def tiny_config(scales: tuple[int, ...] = (2,), network: Any = None, **changes: Any) -> SuperResolutionConfig:
    """Patches of 12 low-resolution pixels."""
    settings = {
        "data": {"scales": list(scales), "lr_patch_size": 12},
        "network": network or EDSR,
        "pictures": {"num_images": 2, "side": 48},
    }
    return SuperResolutionConfig.model_validate(settings | changes)


def tiny_batch(config: SuperResolutionConfig, num_rows: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Whole images of noise, a little larger than a patch."""
    pipeline = SuperResolutionPipeline(config.data)
    return pipeline.collate(pipeline.make_fake_rows(num_rows, seed))


def tiny_patches(config: SuperResolutionConfig, num_rows: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Training patches of them."""
    pipeline = SuperResolutionPipeline(config.data)
    return pipeline.collate_train(pipeline.make_fake_rows(num_rows, seed), numpy_draws(num_rows, seed))


def start_of(config: SuperResolutionConfig, collectives: Ranks, num_rows: int = 6) -> StartContext:
    """This rank's contiguous share of the rows, one by one."""

    def batches(split: str) -> Iterator[dict[str, Tensor]]:
        assert split == "val"
        pipeline = SuperResolutionPipeline(config.data)
        table = pipeline.make_fake_rows(num_rows, seed=0)
        share = num_rows // collectives.world_size
        for row in range(collectives.rank * share, (collectives.rank + 1) * share):
            yield pipeline.collate(table.slice(row, 1))

    return StartContext(batches, collectives, CPU, seed=3)


class Nearest(nn.Module):
    """Repeats pixels, and keeps the sizes of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor, scale: int = 2) -> Tensor:
        self.sizes.append(tuple(image.shape))
        return image.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)

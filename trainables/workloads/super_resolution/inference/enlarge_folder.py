"""Enlargement of a folder of images without ground truth: they are written, and nothing is measured."""

from pathlib import Path

import torch
from PIL import Image
from torch import nn

from data_pipelines.super_resolution.image_lists import find_images
from data_pipelines.super_resolution.rgb_image import load_rgb
from trainables.contract.train_context import Collectives
from trainables.workloads.super_resolution.config import SuperResolutionConfig
from trainables.workloads.super_resolution.inference.upscaler import Upscaler


def enlarge_folder(
    module: nn.Module, upscaler: Upscaler, config: SuperResolutionConfig, collectives: Collectives
) -> list[str]:
    """Write `<out>/<image>_x4.png` for each image and scale; returns the paths that this rank has written.

    Each rank takes every world_size-th image; one image at a time is in memory.

    Args:
        module: The network.
        upscaler: Applies the network to an image.
        config: Names the folders and scales.
        collectives: Those of this rank.
    """
    folder, out = config.evaluation.images, config.evaluation.out
    assert folder is not None and out is not None
    files: list[str] = []
    for path in find_images(folder)[collectives.rank :: collectives.world_size]:
        image = torch.from_numpy(load_rgb(path).transpose(2, 0, 1).copy())
        for scale in config.data.scales:
            name = path.relative_to(folder)
            file = out / name.with_name(f"{name.name}_x{scale}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            _save(upscaler(module, image, scale), file)
            files.append(str(file))
    return files


def _save(image: torch.Tensor, file: Path) -> None:
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, format="PNG")

"""Enlargement of a folder of images without ground truth: they are written, and nothing is measured."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from data_pipelines.readers.bad_file import NAMED, BadFileError, few, printable, refuse_all
from data_pipelines.super_resolution.image_lists import find_images
from data_pipelines.super_resolution.rgb_image import load_rgb
from trainables.contract.pulse import Pulse
from trainables.contract.train_context import Collectives
from trainables.workloads.super_resolution.config import SuperResolutionConfig
from trainables.workloads.super_resolution.inference.upscaler import Upscaler

_log = logging.getLogger(__name__)


def enlarge_folder(
    module: nn.Module, upscaler: Upscaler, config: SuperResolutionConfig, collectives: Collectives
) -> list[str]:
    """Write `<out>/<image>_x4.png` for each image and scale; returns the paths that this rank has written.

    A collective. Each rank takes every world_size-th image; one image at a time is in memory. Damaged images are left
    out, and named after all others: in a ValueError, or with `workload.data.on_bad_file: skip` in a warning.

    Args:
        module: The network.
        upscaler: Applies the network to an image.
        config: Names the folders and scales.
        collectives: Those of this rank.
    """
    folder, out = config.evaluation.images, config.evaluation.out
    assert folder is not None and out is not None
    files: list[str] = []
    faults: list[BadFileError] = []
    pulse = Pulse("images enlarged", collectives)
    for path in find_images(folder)[collectives.rank :: collectives.world_size]:
        try:
            image = torch.from_numpy(load_rgb(path).transpose(2, 0, 1).copy())
        except BadFileError as fault:
            faults.append(fault)
            continue
        for scale in config.data.scales:
            name = path.relative_to(folder)
            file = out / name.with_name(f"{name.name}_x{scale}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            _save(upscaler(module, image, scale), file)
            files.append(str(file))
        pulse.beat()
    _report([fault for found in collectives.gather_values(faults) for fault in found], config, collectives.rank)
    return files


def _report(faults: Sequence[BadFileError], config: SuperResolutionConfig, rank: int) -> None:
    if config.data.on_bad_file == "refuse":
        refuse_all(
            faults,
            "all others are enlarged; copy these again or remove them, or give `--set workload.data.on_bad_file=skip`",
        )
    elif faults and rank == 0:
        _log.warning("%d images are left out: %s", len(faults), few(faults, most=NAMED))


def _save(image: torch.Tensor, file: Path) -> None:
    try:
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, format="PNG")
    except OSError as error:
        raise ValueError(
            f"{printable(file)} cannot be written ({error.strerror}); give another --out, or rename"
        ) from error

"""Benchmark folders, in which all images are test images, such as Set5."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from data_pipelines.readers.bad_file import BadFileError, refuse_all
from data_pipelines.super_resolution.batch import ImagePair
from data_pipelines.super_resolution.image_lists import ImageEntry, find_images
from data_pipelines.super_resolution.pair_layouts import describe_layouts, is_flat_pair_folder, is_pair_folder, pairs_in
from data_pipelines.super_resolution.rows import read_entry, refuse_unmeasurable
from trainables.contract.pulse import Pulse
from trainables.contract.train_context import Collectives


def list_benchmark(folder: Path, scales: Sequence[int]) -> list[ImageEntry]:
    """List the images of a folder: its pairs when it holds any; else all its images, as ground truth.

    Raises ValueError for a folder that holds neither, or anything else that could count as ground truth.
    """
    has_pairs = is_pair_folder(folder, scales[0]) or is_flat_pair_folder(folder)
    return pairs_in(folder, scales) if has_pairs else _truths_in(folder, scales[0])


def read_benchmark(
    name: str, entries: Sequence[ImageEntry], scales: Sequence[int], collectives: Collectives
) -> Iterator[tuple[int, str, Mapping[int, ImagePair]]]:
    """Yield this rank's images, every world_size-th: number, name, and the pair at every scale, on the CPU.

    Low resolution that is not given is made by MATLAB's bicubic. Raises ValueError naming all of these images that
    cannot be used; after the first of them none is yielded.
    """
    pulse = Pulse(f"of {len(entries)} images of {name} evaluated", collectives)
    faults: list[BadFileError] = []
    for place in range(collectives.rank, len(entries), collectives.world_size):
        entry = entries[place]
        try:
            image = read_entry(entry, scales)
            refuse_unmeasurable(image, entry.files[0])
        except BadFileError as fault:
            faults.append(fault)
            continue
        if not faults:
            yield place, entry.name, {scale: _pair(image.lr[scale], image.hr, scale) for scale in scales}
            pulse.beat()
    refuse_all(faults, "copy these again, or remove them")


def _truths_in(folder: Path, scale: int) -> list[ImageEntry]:
    """List all images of the folder.

    None may lie deeper, where low resolution of an unknown layout would count as ground truth.
    """
    paths = find_images(folder)
    deeper = [path for path in paths if path.parent != folder]
    if deeper:
        raise ValueError(
            f"{folder} holds images in subfolders ({deeper[0].relative_to(folder)}) and no pairs of scale {scale}; "
            f"give as `benchmark` the folder of the high-resolution images, or one with {describe_layouts(scale)}"
        )
    return [ImageEntry(path.name, hr=path) for path in paths]


def _pair(lr: np.ndarray, hr: np.ndarray, scale: int) -> ImagePair:
    height, width = (side * scale for side in lr.shape[:2])
    return ImagePair(*(torch.from_numpy(each.transpose(2, 0, 1).copy()) for each in (lr, hr[:height, :width])))

"""Windows of complete clips for evaluation and pictures: the same ones every time."""

import zlib
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from data_pipelines.video.batch import PackedClips
from trainables.contract.seeding import seeded_generator


class Window(NamedTuple):
    """Past and future frames, 8 bits."""

    past: UInt8[Tensor, "windows past channels height width"]
    future: UInt8[Tensor, "windows future channels height width"]


def choose_starts(num_places: int, count: int) -> list[int]:
    """Choose at most `count` positions out of 0 .. num_places - 1, at even distances from the first to the last."""
    if count == 1 or num_places == 1:
        return [0]
    count = min(count, num_places)
    return [(num_places - 1) * number // (count - 1) for number in range(count)]


def cut_even_windows(batch: PackedClips, *, num_past: int, num_future: int, stride: int, per_clip: int) -> Window:
    """Cut windows in the order of clips and of time; a clip that is too short for one has none.

    Of each clip there are at most `per_clip`; `stride` is the distance between two frames of a window.
    """
    span = (num_past + num_future - 1) * stride + 1
    places = [
        (clip, start)
        for clip, length in enumerate(batch["length"].tolist())
        if length >= span
        for start in choose_starts(length - span + 1, per_clip)
    ]
    length = batch["length"]
    table = torch.tensor(places, dtype=torch.int64, device=length.device).reshape(-1, 2)
    first = (length.cumsum(0) - length)[table[:, 0]] + table[:, 1]
    frames = batch["frames"][first[:, None] + stride * torch.arange(num_past + num_future, device=length.device)]
    return Window(frames[:, :num_past], frames[:, num_past:])


def noise_of(past: UInt8[Tensor, "windows past channels height width"], seed: int, draw: int) -> list[torch.Generator]:
    """Build for each window a generator that follows from its content, independent of ranks and batches."""
    contents = [zlib.crc32(window.contiguous().numpy().tobytes()) for window in past.cpu()]
    return [seeded_generator(seed, f"prediction of {content}", draw) for content in contents]

"""Batches of clips of different lengths, and the training windows cut from them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from data_pipelines.contract.row_draws import NumpyDraws, TorchDraws

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from torch import Tensor

PackedClips = dict[str, "Tensor"]
"""`length`, int64 [clips], frames of each clip; `frames`, uint8 [all frames, channels, height, width], the concatenated
clips, because clips of different lengths cannot be stacked."""
WindowBatch = dict[str, "Tensor"]
"""`past`, uint8 [batch, num_past, channels, height, width], and `future`, the same with num_future."""


def cut_random_windows(
    clips: Sequence["Shaped[np.ndarray, 'frames ...']"],
    *,
    num_past: int,
    num_future: int,
    stride: int,
    draws: NumpyDraws,
) -> WindowBatch:
    """Cut one window of each clip; every position where a complete window fits is equally likely.

    Each clip is as long as a window or longer; `stride` is the distance between two frames of a window.
    """
    import torch

    _, *shape = clips[0].shape
    past = np.empty((len(clips), num_past, *shape), clips[0].dtype)
    future = np.empty((len(clips), num_future, *shape), clips[0].dtype)
    span = (num_past + num_future - 1) * stride + 1
    for row, (clip, draw) in enumerate(zip(clips, draws.uniform(), strict=True)):
        start = int(draw * (len(clip) - span + 1))
        window = clip[start : start + span : stride]
        past[row], future[row] = window[:num_past], window[num_past:]
    return {"past": torch.from_numpy(past), "future": torch.from_numpy(future)}


def change_windows(windows: WindowBatch, *, flips: bool, brightness: float, draws: TorchDraws) -> WindowBatch:
    """Mirror and brighten windows; one draw for all frames of a window, so that nothing flickers.

    `flips` mirrors with probability 1/2; `brightness` multiplies grey levels by a factor from 1 - this to 1 + this.
    """
    import torch

    past = windows["past"]
    mirror, bright = draws.uniform(2).T.reshape(2, len(past), 1, 1, 1, 1)
    factor = 1 + brightness * (2 * bright - 1)
    changed = dict(windows)
    for name, frames in windows.items():
        if flips:
            frames = torch.where(mirror < 0.5, frames.flip(-1), frames)
        if brightness:
            frames = (frames.float() * factor).round().clamp(0, 255).to(torch.uint8)
        changed[name] = frames
    return changed

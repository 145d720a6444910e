"""Clips of different lengths as one batch, and the windows of past and future frames that are cut from them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from jaxtyping import Int64
    from torch import Tensor

PackedClips = dict[str, "Tensor"]
"""`length`, int64 [clips], frames of each clip; `frames`, uint8 [all frames, channels, height, width], the clips behind
one another, because clips of different lengths cannot be stacked."""
WindowBatch = dict[str, "Tensor"]
"""`past`, uint8 [batch, num_past, channels, height, width], and `future`, the same with num_future."""


def cut_windows(
    batch: PackedClips,
    clip: "Int64[Tensor, ' windows']",
    start: "Int64[Tensor, ' windows']",
    *,
    count: int,
    stride: int,
) -> "Tensor":
    """uint8 [windows, count, channels, height, width]: of each named clip every `stride`-th frame from `start` on."""
    import torch

    length = batch["length"]
    offset = (length.cumsum(0) - length)[clip] + start
    places = offset[:, None] + stride * torch.arange(count, device=length.device)
    return batch["frames"][places]


def cut_random_windows(
    batch: PackedClips, *, num_past: int, num_future: int, stride: int, generator: "torch.Generator"
) -> WindowBatch:
    """One window of each clip; every place where a whole window fits is equally likely."""
    import torch

    length = batch["length"]
    count = num_past + num_future
    num_places = length - (count - 1) * stride
    draws = torch.rand(len(length), generator=generator, device=length.device, dtype=torch.float64)
    start = (draws * num_places).long()
    clip = torch.arange(len(length), device=length.device)
    frames = cut_windows(batch, clip, start, count=count, stride=stride)
    return {"past": frames[:, :num_past], "future": frames[:, num_past:]}


def change_windows(
    windows: WindowBatch, *, flips: bool, brightness: float, generator: "torch.Generator"
) -> WindowBatch:
    """Mirror and brighten; one draw for all frames of a window, so that nothing flickers."""
    import torch

    past = windows["past"]
    draws = torch.rand(2, len(past), 1, 1, 1, 1, generator=generator, device=past.device)
    factor = 1 + brightness * (2 * draws[1] - 1)
    changed = dict(windows)
    for name, frames in windows.items():
        if flips:
            frames = torch.where(draws[0] < 0.5, frames.flip(-1), frames)
        if brightness:
            frames = (frames.float() * factor).round().clamp(0, 255).to(torch.uint8)
        changed[name] = frames
    return changed

"""Large images tile by tile: memory depends on the tile, not on the image."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Shaped
from torch import Tensor

Image = Shaped[Tensor, "1 channels height width"]


@dataclass(frozen=True)
class Span:
    """Along one axis: what the network sees, and what of it is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def cut_axis(length: int, tile: int, overlap: int) -> list[Span]:
    """Spans of `tile` that share at least `overlap`; the last is shifted inward. Each place is kept once."""
    if length <= tile:
        return [Span(0, length, 0, length)]
    starts = [*range(0, length - tile, tile - overlap), length - tile]
    seams = [0, *((before + tile + start) // 2 for before, start in pairwise(starts)), length]
    return [
        Span(start, start + tile, low, high) for start, low, high in zip(starts, seams[:-1], seams[1:], strict=True)
    ]


def upscale_tiled(upscale: Callable[[Tensor], Tensor], image: Image, *, scale: int, tile: int, overlap: int) -> Image:
    """What `upscale` makes of the tiles, put together; the whole image's result where it sees at most overlap / 2 far.

    The result has the type that `upscale` gives and lies where `image` does, wherever the tiles are worked on.
    """
    height, width = image.shape[-2:]
    result = torch.empty(0)
    for down in cut_axis(height, tile, overlap):
        for right in cut_axis(width, tile, overlap):
            part = upscale(image[..., down.start : down.stop, right.start : right.stop])
            if not result.numel():
                shape = (1, part.shape[1], height * scale, width * scale)
                result = torch.empty(shape, dtype=part.dtype, device=image.device)
            rows = slice((down.keep_start - down.start) * scale, (down.keep_stop - down.start) * scale)
            columns = slice((right.keep_start - right.start) * scale, (right.keep_stop - right.start) * scale)
            result[
                ...,
                down.keep_start * scale : down.keep_stop * scale,
                right.keep_start * scale : right.keep_stop * scale,
            ] = part[..., rows, columns].to(result.device)
    return result

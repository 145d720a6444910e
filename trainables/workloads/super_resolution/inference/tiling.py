"""Tiled enlargement of large images: memory depends on the tile, not on the image."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Shaped
from torch import Tensor

Image = Shaped[Tensor, "1 channels height width"]


@dataclass(frozen=True)
class TileSpan:
    """TileSpan of a tile along one axis: the network's input, and the part of it that is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def cut_axis(length: int, tile: int, overlap: int) -> list[TileSpan]:
    """Cut an axis into spans of `tile` that share at least `overlap`; the last is shifted inward.

    Each position is kept once.
    """
    if length <= tile:
        return [TileSpan(0, length, 0, length)]
    starts = [*range(0, length - tile, tile - overlap), length - tile]
    seams = [0, *((before + tile + start) // 2 for before, start in pairwise(starts)), length]
    return [
        TileSpan(start, start + tile, low, high) for start, low, high in zip(starts, seams[:-1], seams[1:], strict=True)
    ]


def upscale_tiled(upscale: Callable[[Tensor], Tensor], image: Image, *, scale: int, tile: int, overlap: int) -> Image:
    """Enlarge an image tile by tile and join the results.

    They equal those of the complete image where the network's field of view is at most overlap / 2. The result has the
    type of `upscale` and the device of `image`, wherever the tiles are computed.

    Args:
        upscale: Enlarges one tile.
        image: The complete image.
        scale: Factor of `upscale`.
        tile: Side of a tile in pixels of `image`.
        overlap: Pixels that neighbouring tiles share at least.
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

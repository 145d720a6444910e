"""Upscaler of one image of any size, by tiles, self-ensemble and back-projection as the settings ask."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from data_pipelines.super_resolution.bicubic import resize_matrix
from trainables.workloads.super_resolution.config import Inference
from trainables.workloads.super_resolution.unit_range import to_levels, to_zero_one

Image = Float[Tensor, "batch channels height width"]


class Upscaler:
    """Enlargement by the settings; the image may lie on another device than the network.

    With tiles the network's device holds one of them at a time; the complete image is only held in whole levels, or in
    float32 for the self-ensemble and for back-projection.
    """

    def __init__(self, settings: Inference, device: torch.device) -> None:
        self._settings, self._device = settings, device

    def __call__(
        self, module: nn.Module, image: Integer[Tensor, "3 height width"], scale: int
    ) -> Integer[Tensor, "3 scaled_height scaled_width"]:
        """Enlarge to levels of the image's type (uint8 or uint16), on its device.

        Raises FloatingPointError when a value is not finite.
        """
        settings, dtype = self._settings, image.dtype

        def upscale(part: Tensor) -> Tensor:
            enlarged = module(to_zero_one(part.to(self._device)), scale).float()
            if not bool(enlarged.isfinite().all()):
                raise FloatingPointError("the network's output for an evaluated image is not finite")
            return enlarged

        if not settings.has_self_ensemble and not settings.back_projections:
            return self._in_tiles(lambda part: to_levels(upscale(part), dtype), image[None], scale)[0]

        def upscale_whole(whole: Tensor) -> Tensor:
            return self._in_tiles(upscale, whole, scale)

        enlarged = ensemble(upscale_whole, image[None]) if settings.has_self_ensemble else upscale_whole(image[None])
        return to_levels(back_project(enlarged, to_zero_one(image[None]), settings.back_projections), dtype)[0]

    def _in_tiles(self, upscale: Callable[[Tensor], Tensor], image: Tensor, scale: int) -> Tensor:
        tile = self._settings.tile_size
        if tile is None:
            return upscale(image).to(image.device)
        return upscale_tiled(upscale, image, scale=scale, tile=tile, overlap=self._settings.overlap)


@dataclass(frozen=True)
class TileSpan:
    """Span of a tile along one axis: the network's input, and the part of it that is kept."""

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


def upscale_tiled(
    upscale: Callable[[Tensor], Tensor],
    image: Shaped[Tensor, "1 channels height width"],
    *,
    scale: int,
    tile: int,
    overlap: int,
) -> Tensor:
    """Enlarge an image tile by tile and join the results.

    They equal those of the complete image where the network's field of view is at most overlap / 2. The result has the
    type of `upscale` and the device of `image`, wherever the tiles are computed. `upscale` enlarges one tile by
    `scale`. `tile` is the side of a tile in pixels of `image`, and neighbouring tiles share at least `overlap` of them.
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


def back_project(enlarged: Image, image: Image, iterations: int) -> Image:
    """Repeat enlarged += up(image - down(enlarged)), clipped to 0..1 each time (Irani and Peleg 1991).

    Both are MATLAB's bicubic without rounding.
    """
    for _ in range(iterations):
        error = image - resize(enlarged, *image.shape[-2:])
        enlarged = (enlarged + resize(error, *enlarged.shape[-2:])).clamp(0, 1)
    return enlarged


def resize(image: Image, height: int, width: int) -> Image:
    """Resize float images by MATLAB's bicubic, on their device."""
    down, right = (
        torch.from_numpy(resize_matrix(before, after).toarray()).to(image)
        for before, after in zip(image.shape[-2:], (height, width), strict=True)
    )
    return down @ image @ right.T


def ensemble(upscale: Callable[[Image], Image], image: Image) -> Image:
    """Enlarge each of the eight dihedral states, turn it back, and return their mean (Timofte et al. 2016)."""
    total: Tensor | None = None
    for is_transposed, dims in product((False, True), ((), (-1,), (-2,), (-2, -1))):
        state = image.flip(dims)
        enlarged = upscale(state.transpose(-2, -1) if is_transposed else state)
        turned_back = (enlarged.transpose(-2, -1) if is_transposed else enlarged).flip(dims)
        total = turned_back if total is None else total.add_(turned_back)
    assert total is not None
    return total / 8

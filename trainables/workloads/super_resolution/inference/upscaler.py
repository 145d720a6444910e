"""Upscaler of one image of any size, by tiles, self-ensemble and back-projection as the settings ask."""

from collections.abc import Callable

import torch
from jaxtyping import Integer
from torch import Tensor, nn

from trainables.workloads.super_resolution.config import Inference
from trainables.workloads.super_resolution.inference.back_projection import back_project
from trainables.workloads.super_resolution.inference.self_ensemble import ensemble
from trainables.workloads.super_resolution.inference.tiling import upscale_tiled
from trainables.workloads.super_resolution.unit_range import to_levels, to_zero_one


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

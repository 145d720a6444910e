"""One image of any size, enlarged as the settings say: tiles, self-ensemble, back-projection."""

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from trainables.workloads.super_resolution.back_projection import back_project
from trainables.workloads.super_resolution.config import Inference
from trainables.workloads.super_resolution.pixels import to_grey_levels, to_unit_range
from trainables.workloads.super_resolution.self_ensemble import ensemble
from trainables.workloads.super_resolution.tiling import upscale_tiled


class Upscaler:
    """The image may lie elsewhere than the network: with tiles the device holds one tile at a time."""

    def __init__(self, settings: Inference, device: torch.device) -> None:
        self._settings, self._device = settings, device

    def __call__(
        self, module: nn.Module, image: UInt8[Tensor, "3 height width"], scale: int
    ) -> UInt8[Tensor, "3 scaled_height scaled_width"]:
        """Rounded to grey levels, on the image's device. Raises FloatingPointError when a value is not finite."""
        settings, lr = self._settings, to_unit_range(image)[None]

        def upscale(part: Tensor) -> Tensor:
            return module(part, scale).float()

        def upscale_whole(whole: Tensor) -> Tensor:
            if settings.tile_size is None:
                return upscale(whole.to(self._device)).to(whole.device)
            return upscale_tiled(
                upscale, whole, scale=scale, tile=settings.tile_size, overlap=settings.overlap, device=self._device
            )

        enlarged = ensemble(upscale_whole, lr) if settings.has_self_ensemble else upscale_whole(lr)
        if not bool(enlarged.isfinite().all()):
            raise FloatingPointError("the network's output for an evaluated image is not finite")
        return to_grey_levels(back_project(enlarged, lr, settings.back_projections))[0]

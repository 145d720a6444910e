"""Pictures of the same crops at every cadence: LR, bicubic, ours, HR, each with its PSNR."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from data_pipelines.contract.pipeline import Split
from data_pipelines.super_resolution.batch import ImagePair, unpack
from trainables.contract.panels import ImagePanel
from trainables.contract.train_context import Collectives, StartContext
from trainables.workloads.super_resolution.config import SuperResolutionConfig
from trainables.workloads.super_resolution.inference.upscaler import Upscaler
from trainables.workloads.super_resolution.protocols.protocol import enlarge_bicubic, measure

VISIBLE_SIDE = 192
"""Pictures are enlarged by the largest integer factor that keeps them within this many pixels."""
BAR = 16
"""Pixels under each picture for its caption."""


class SamplePlots:
    """Crops at the first scale, filled by `collect`, by `add` and `gather`, or from a saved state."""

    def __init__(self, config: SuperResolutionConfig, split: Split) -> None:
        self._config = config
        self._split: Split = split
        self.scale = config.data.scales[0]
        self._side = config.pictures.side // self.scale
        self._found: list[ImagePair] = []
        self.lr: UInt8[Tensor, "images 3 height width"] = torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
        self.hr: UInt8[Tensor, "images 3 scaled_height scaled_width"] = torch.zeros(0, 3, 1, 1, dtype=torch.uint8)

    def collect(self, start: StartContext) -> None:
        """Crop the middle of the first images of the split; a collective, with the same result on all ranks."""
        for batch in start.batches(self._split):
            for pair in unpack(batch, self.scale):
                self.add(pair)
            if len(self._found) == self._config.pictures.num_images:
                break
        self.gather(start.collectives, start.device)

    def add(self, pair: ImagePair) -> None:
        """Crop the middle of an image that is large enough, while there are too few crops."""
        if len(self._found) < self._config.pictures.num_images and min(pair.lr.shape[-2:]) >= self._side:
            self._found.append(crop_middle(pair, self._side, self.scale))

    def gather(self, collectives: Collectives, device: torch.device) -> None:
        """Take the first crops of all ranks; a collective."""
        for name, length in (("lr", self._side), ("hr", self._side * self.scale)):
            own = torch.zeros(len(self._found), 3, length, length, dtype=torch.uint8, device=device)
            for index, pair in enumerate(self._found):
                own[index] = getattr(pair, name)
            setattr(self, name, collectives.gather(own)[: self._config.pictures.num_images].cpu())
        self._found.clear()

    def panels(self, module: nn.Module, device: torch.device) -> list[ImagePanel]:
        """Draw `<split>/comparison` with one row for each crop; empty when no image was large enough."""
        if not len(self.lr):
            return []
        pictures: list[Tensor] = []
        captions: list[str] = []
        for lr, hr in zip(self.lr, self.hr, strict=True):
            ours = Upscaler(self._config.inference, device)(module, lr.to(device), self.scale).cpu()
            bicubic = enlarge_bicubic(lr, self.scale)
            named = (f"bicubic {self._psnr(bicubic, hr)}", f"ours {self._psnr(ours, hr)}", "HR")
            captions += [f"LR x{self.scale}", *named]
            pictures.append(picture_row(captions[-4:], ImagePair(lr, hr), ours=ours, bicubic=bicubic))
        return [ImagePanel(f"{self._split}/comparison", torch.cat(pictures), captions, columns=4)]

    def state_dict(self) -> dict[str, Any]:
        """Return the crops."""
        return {"lr": self.lr, "hr": self.hr}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        self.lr, self.hr = state["lr"], state["hr"]

    def _psnr(self, image: Tensor, truth: Tensor) -> str:
        protocol = self._config.evaluation.protocol
        return f"{float(measure(image, truth, scale=self.scale, protocol=protocol, metrics=['psnr'])):.2f} dB"


def picture_row(
    captions: Sequence[str], pair: ImagePair, *, ours: Tensor, bicubic: Tensor
) -> UInt8[Tensor, "4 3 height width"]:
    """Draw LR pixel by pixel, bicubic, ours and HR, each above its caption."""
    factor = pair.hr.shape[-1] // pair.lr.shape[-1]
    nearest = pair.lr.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
    pictures = (nearest, bicubic, ours, pair.hr)
    return torch.stack([with_caption(*each) for each in zip(pictures, captions, strict=True)])


def crop_middle(pair: ImagePair, side: int, scale: int) -> ImagePair:
    """Crop the square in the middle of an image; `side` is counted in low-resolution pixels."""
    top, left = ((length - side) // 2 for length in pair.lr.shape[-2:])
    bottom, right = top + side, left + side
    hr = pair.hr[:, top * scale : bottom * scale, left * scale : right * scale]
    return ImagePair(pair.lr[:, top:bottom, left:right].clone(), hr.clone())  # a view would keep the complete image


def with_caption(image: UInt8[Tensor, "3 height width"], caption: str) -> UInt8[Tensor, "3 taller wider"]:
    """Enlarge a picture until it is visible, above a white bar with the caption."""
    zoom = max(1, VISIBLE_SIDE // image.shape[-1])
    pixels = image.repeat_interleave(zoom, dim=1).repeat_interleave(zoom, dim=2).permute(1, 2, 0).cpu().numpy()
    canvas = Image.new("RGB", (pixels.shape[1], pixels.shape[0] + BAR), "white")
    canvas.paste(Image.fromarray(pixels), (0, 0))
    ImageDraw.Draw(canvas).text((2, pixels.shape[0]), caption, fill="black", font=ImageFont.load_default())
    return torch.from_numpy(np.asarray(canvas).transpose(2, 0, 1).copy())

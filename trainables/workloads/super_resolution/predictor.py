"""Enlargement of pictures by a trained network, in the form in which they came."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from pydantic import Field
from torch import Tensor

from data_pipelines.readers.any_image import to_picture
from data_pipelines.readers.image_file import IMAGE_SUFFIXES
from data_pipelines.readers.picture import Picture, read_picture, write_picture
from trainables.contract.prediction import Input, Prediction
from trainables.contract.predictor import PredictionOptions, Predictor
from trainables.workloads.super_resolution.config import Inference
from trainables.workloads.super_resolution.inference.upscaler import Upscaler, resize
from trainables.workloads.super_resolution.protocols.protocol import enlarge_bicubic
from trainables.workloads.super_resolution.unit_range import to_levels, to_zero_one

BAR, LABEL = 8, 16
"""Pixels between the two pictures of a comparison, and above them."""


class SuperResolutionOptions(PredictionOptions):
    """Settings of an enlargement."""

    scale: int | None = None
    """Factor; one that the network was trained for, by default its first."""
    tile_size: int | None = Field(default=None, ge=8)
    """Side of the tiles that the network gets one by one, in pixels of the input, so that memory does not grow with the
    picture; by default the model's own setting."""
    overlap: int | None = Field(default=None, ge=0)
    """Pixels that neighbouring tiles share, below `tile_size`; by default 16, or half of a smaller tile's side."""
    self_ensemble: bool = False
    """Mean over the eight turned and mirrored states of the picture; eight times the cost."""
    back_projections: int = Field(default=0, ge=0, le=100)
    """Number of times that the result is downscaled, compared with the input and corrected."""
    compare: bool = False
    """Also write each result beside the bicubic enlargement, into the folder `compare`."""


class SuperResolutionPredictor(Predictor[SuperResolutionOptions]):
    """Enlargement of pictures of any size.

    Grey stays grey, 16 bits stay 16, transparency is enlarged by bicubic, the colour profile is kept. A TIFF stays a
    TIFF; all others become PNG, so that nothing is lost a second time.
    """

    options_class = SuperResolutionOptions
    suffixes = IMAGE_SUFFIXES
    page_options = {"compare": True}

    def __init__(self, *parts: Any) -> None:
        """Choose the scale and the tiles. Raises ValueError for a scale that the network was not trained for."""
        super().__init__(*parts)
        config: Any = self.model.workload
        scales = config.data.scales
        self.scale = self.options.scale or scales[0]
        if self.scale not in scales:
            raise ValueError(f"option scale: {self.scale}; the model was trained for {', '.join(map(str, scales))}")
        self._upscaler = Upscaler(self._inference(config.inference), self.device)

    def _inference(self, trained: Inference) -> Inference:
        given = self.options
        tile = given.tile_size or trained.tile_size
        overlap = trained.overlap if given.tile_size is None else min(trained.overlap, given.tile_size // 2)
        overlap = overlap if given.overlap is None else given.overlap
        if tile is not None and overlap >= tile:
            raise ValueError(f"option overlap: {overlap}; it must be below the side of the tiles, {tile}")
        return Inference(
            tile_size=tile,
            overlap=overlap,
            has_self_ensemble=given.self_ensemble,
            back_projections=given.back_projections,
        )

    def predict_input(self, item: Input) -> Prediction:
        """Return a picture `NAME_x4.png` (or `.tif`), a comparison if it is asked for, and a row with the sizes."""
        with item.open() as file:
            picture = read_picture(file)
        enlarged = self.enlarge(picture)
        suffix = ".tif" if picture.form == "TIFF" else ".png"
        name = f"{item.name}_x{self.scale}{suffix}"
        files = {name: write_picture(enlarged)}
        if self.options.compare:
            files[f"compare/{item.name}_x{self.scale}.png"] = write_picture(Picture(self._compare(picture, enlarged)))
        height, width = picture.colours.shape[:2]
        row = {"file": name, "width": width, "height": height, "scale": self.scale}
        return Prediction([row | {"bits": 8 * picture.colours.itemsize, "channels": picture.colours.shape[2]}], files)

    @torch.inference_mode()
    def predict(self, pictures: Sequence[Any]) -> list[Image.Image]:
        """Enlarge pictures; returns an image for each, grey for grey ones.

        Pictures are paths, PIL images, arrays [height, width, channels] or tensors [channels, height, width]; 8 bits.

        Raises:
            ValueError: Something is no picture.
        """
        found: list[Image.Image] = []
        for value in pictures:
            plain = np.asarray(to_picture(value))
            colours = self.enlarge(Picture(plain[..., None] if plain.ndim == 2 else plain)).colours
            found.append(Image.fromarray(colours[..., 0] if colours.shape[2] == 1 else colours))
        return found

    def enlarge(self, picture: Picture) -> Picture:
        """Enlarge a picture; the network gets grey as three equal channels, and the mean of its three is kept."""
        enlarged = self._upscaler(self.task.module, _to_tensor(picture), self.scale)
        if picture.colours.shape[2] == 1:
            enlarged = to_levels(to_zero_one(enlarged).mean(dim=0, keepdim=True), enlarged.dtype)
        alpha = None if picture.alpha is None else _enlarge_alpha(picture.alpha, self.scale)
        return replace(picture, colours=np.ascontiguousarray(enlarged.cpu().numpy().transpose(1, 2, 0)), alpha=alpha)

    def _compare(self, picture: Picture, enlarged: Picture) -> np.ndarray:
        """Return bicubic on the left and ours on the right, named, as uint8 [height, width, 3]."""
        bicubic = enlarge_bicubic(_to_8_bit(picture), self.scale).numpy().transpose(1, 2, 0)
        ours = _to_8_bit(enlarged).numpy().transpose(1, 2, 0)
        height, width = bicubic.shape[:2]
        sheet = Image.new("RGB", (2 * width + BAR, height + LABEL), "white")
        for left, name, pixels in ((0, "bicubic", bicubic), (width + BAR, "this model", ours)):
            sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)), (left, LABEL))
            ImageDraw.Draw(sheet).text((left + 2, 2), name, fill="black")
        return np.asarray(sheet)


def _to_tensor(picture: Picture) -> Tensor:
    colours = picture.colours
    if colours.shape[2] == 1:
        colours = np.repeat(colours, 3, axis=2)
    return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))


def _to_8_bit(picture: Picture) -> Tensor:
    return to_levels(to_zero_one(_to_tensor(picture)), torch.uint8)


def _enlarge_alpha(alpha: np.ndarray, scale: int) -> np.ndarray:
    levels = torch.from_numpy(np.ascontiguousarray(alpha))
    height, width = (side * scale for side in levels.shape)
    enlarged = resize(to_zero_one(levels)[None, None], height, width)[0, 0]
    return to_levels(enlarged, levels.dtype).numpy()

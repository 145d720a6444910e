"""Drawing of single samples, which are the same whatever else is drawn, and of strips between two of them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.storage.folder import Folder
from trainables.contract.panels import ImagePanel, zoom_of
from trainables.contract.prediction import Input, Row
from trainables.pictures.picture_grid import draw_grid, encode_png
from trainables.workloads.flow_matching.config import FlowMatchingConfig
from trainables.workloads.flow_matching.flow.guidance import draw_noise, generate
from trainables.workloads.flow_matching.pixels import to_uint8
from trainables.workloads.flow_matching.prediction_options import FlowOptions, sample_settings
from trainables.workloads.flow_matching.sample_batches import WITHOUT_CLASS, group_of

_PARALLEL = 1e-4
"""Noises at a smaller angle than this, in radians, are joined by a straight line."""
COLUMNS = 10
MAX_ROWS = 100
"""Classes beyond are left out."""


@dataclass(frozen=True)
class Sample:
    """One generated picture."""

    class_name: str | None
    """None: of no class."""
    index: int
    """Its number in the class; with the seed it determines the noise."""
    image: np.ndarray
    """uint8 [height, width, channels]."""
    nfe: int
    """Network evaluations; guidance doubles them."""


@dataclass(frozen=True)
class Strip:
    """Pictures on the way from one sample to another, with both ends."""

    class_name: str | None
    """None: of no class."""
    images: np.ndarray
    """uint8 [pictures, height, width, channels]."""
    nfe: int
    """Network evaluations of each picture."""


class Sampler:
    """A trained network with the settings of its samples."""

    def __init__(
        self,
        module: nn.Module,
        config: FlowMatchingConfig,
        options: FlowOptions,
        *,
        class_names: Sequence[str],
        shape: ImageShape,
    ) -> None:
        """Keep the network, in eval mode. Raises ValueError for options that do not fit the model."""
        self._module, self._options, self._names, self._shape = module, options, list(class_names), shape
        self._settings = sample_settings(config, options)

    def draw(self, batch: Input) -> list[Sample]:
        """Draw a full batch, whose size decides on the last digits, and return the wanted samples of it."""
        first = batch.indices[0]
        noise = self._noise(group_of(batch), range(first, first + self._options.batch_size))
        images, nfe = self._solve(group_of(batch), noise)
        name = self._class_of(batch)
        return [Sample(name, index, image, nfe) for index, image in zip(batch.indices, images, strict=False)]

    def draw_strip(self, batch: Input) -> Strip:
        """Draw what lies between the two samples of a batch, by spherical interpolation of their noise."""
        ends = self._noise(group_of(batch), batch.indices)
        noise = interpolate_spherically(ends[0], ends[1], self._options.steps_between)
        return Strip(self._class_of(batch), *self._solve(group_of(batch), noise))

    def _class_of(self, batch: Input) -> str | None:
        return group_of(batch) if self._settings.guidance else None

    def _noise(self, group: str, indices: Sequence[int]) -> Float[Tensor, "samples channels height width"]:
        return draw_noise(f"sample of {group}", indices, seed=self._options.seed, shape=self._shape)

    def _solve(self, group: str, noise: Float[Tensor, "batch channels height width"]) -> tuple[np.ndarray, int]:
        device = next(self._module.parameters()).device
        null_label = len(self._names)
        label = self._names.index(group) if self._settings.guidance else null_label
        samples = generate(
            self._module,
            noise.to(device),
            torch.full((len(noise),), label, device=device),
            null_label=null_label,
            sampling=self._settings,
        )
        if not samples.images.isfinite().all():
            raise ValueError(
                f"samples of {group} hold values that are not finite; lower --guidance, or take another model version"
            )
        return to_uint8(samples.images).permute(0, 2, 3, 1).contiguous().cpu().numpy(), samples.nfe_net


def interpolate_spherically(
    first: Float[Tensor, "channels height width"], last: Float[Tensor, "channels height width"], num_between: int
) -> Float[Tensor, "places channels height width"]:
    """Return both ends and `num_between` noises between them, at even angles (slerp, Shoemake 1985).

    Gaussian noise of many dimensions lies near a sphere. A straight line would leave it, and its middle is no noise
    that the flow knows (White 2016).
    """
    cosine = (first * last).sum() / (first.norm() * last.norm())
    angle = cosine.clamp(-1, 1).arccos()
    places = torch.linspace(0, 1, num_between + 2, dtype=first.dtype).view(-1, *[1] * first.ndim)
    if angle < _PARALLEL:
        return (1 - places) * first + places * last
    return (((1 - places) * angle).sin() * first + (places * angle).sin() * last) / angle.sin()


def draw_sample_grid(rows: Sequence[Row], results: Folder) -> bytes:
    """Return a PNG of the first samples of each class, read from their files.

    Each sample has a row with `class`, `index` and `file`.
    """
    files: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: int(row["index"] or 0)):
        files.setdefault(str(row["class"] or WITHOUT_CLASS), []).append(str(row["file"]))
    names = list(dict.fromkeys(str(row["class"] or WITHOUT_CLASS) for row in rows))[:MAX_ROWS]
    if names == [WITHOUT_CLASS]:
        return encode_png(_draw(_read(results, files[WITHOUT_CLASS][: COLUMNS**2]), COLUMNS))
    columns = min(COLUMNS, min(len(files[name]) for name in names))
    pictures = _read(results, [file for name in names for file in files[name][:columns]])
    return encode_png(_draw(pictures, columns, names))


def draw_strip(images: np.ndarray) -> bytes:
    """Return a PNG of pictures, uint8 [pictures, height, width, channels], side by side."""
    return encode_png(_draw(images, len(images)))


def _draw(images: np.ndarray, columns: int, names: Sequence[str] = ()) -> np.ndarray:
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    return draw_grid(ImagePanel("samples", tensor, columns=columns, zoom=zoom_of(tensor), row_names=names))


def _read(results: Folder, files: Sequence[str]) -> np.ndarray:
    arrays = [np.asarray(Image.open(io.BytesIO(results.read(file)))) for file in files]
    return np.stack([array.reshape(*array.shape[:2], -1) for array in arrays])

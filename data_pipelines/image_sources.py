"""Labelled images as they come: the protocol of a raw source, with the embedded digits as the smallest one."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from data_pipelines.image_config import ImageData
from data_pipelines.pipeline import Split


class ImageShape(NamedTuple):
    """Shape of one image."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class LabelledImages:
    """A few images in order."""

    images: np.ndarray
    """uint8, [count, channels, height, width]."""
    labels: np.ndarray
    """int64, [count]."""


class ImageSource(Protocol):
    """Raw labelled images of one fixed shape."""

    @property
    def class_names(self) -> Sequence[str]:
        """One name per label, found without reading an image."""
        ...

    def num_rows(self) -> dict[Split, int]:
        """Images of each split."""
        ...

    def read(self, split: Split, start_row: int) -> Iterator[LabelledImages]:
        """The images of a split from `start_row` on, in a fixed order; ValueError names the file (and row)."""
        ...

    def content_hash(self) -> str:
        """SHA-256 over the raw input, in hexadecimal."""
        ...


def raw_shape(data: ImageData) -> ImageShape:
    """Shape of the stored images, from the settings alone."""
    if data.source == "digits":
        return ImageShape(1, 8, 8)
    if data.source == "cifar10":
        return ImageShape(3, 32, 32)
    assert data.size is not None
    return ImageShape(data.channels, data.size, data.size)


class DigitsSource:
    """scikit-learn's 1,797 handwritten digits, 8x8; every fifth image of each digit is a test image.

    The original values 0..16 become round(value * 255 / 16).
    """

    class_names = tuple("0123456789")

    def num_rows(self) -> dict[Split, int]:
        return {split: len(part.labels) for split, part in self._splits.items()}

    def read(self, split: Split, start_row: int) -> Iterator[LabelledImages]:
        part = self._splits[split]
        yield LabelledImages(part.images[start_row:], part.labels[start_row:])

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for part in self._splits.values():
            digest.update(part.images.tobytes())
            digest.update(part.labels.tobytes())
        return digest.hexdigest()

    @cached_property
    def _splits(self) -> dict[Split, LabelledImages]:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        pixels = np.floor(np.asarray(images) * 255 / 16 + 0.5).astype(np.uint8).reshape(-1, *raw_shape(ImageData()))
        labels = np.asarray(labels, dtype=np.int64)
        is_test = _every_fifth_of_each_class(labels)
        return {
            "train": LabelledImages(pixels[~is_test], labels[~is_test]),
            "test": LabelledImages(pixels[is_test], labels[is_test]),
        }


def _every_fifth_of_each_class(labels: np.ndarray) -> np.ndarray:
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[4::5]] = True
    return chosen

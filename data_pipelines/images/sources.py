"""Raw sources of labelled images: their protocol, and the embedded digits."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from data_pipelines.contract.pipeline import Split
from data_pipelines.images.config import ImageData
from data_pipelines.readers.image_shape import ImageShape


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
        """Return the number of images of each split."""
        ...

    def read(self, split: Split, start_row: int) -> Iterator[LabelledImages]:
        """Yield the images of a split from `start_row` on, in a fixed order; ValueError names the file (and row)."""
        ...

    def files(self) -> Sequence[Path]:
        """Return the raw files, in a fixed order."""
        ...

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        """Return the files of each split, in the order of its rows; empty where a file holds many rows."""
        ...

    def content_hash(self) -> str:
        """Return the SHA-256 over the raw input, in hexadecimal."""
        ...


def raw_shape(data: ImageData) -> ImageShape:
    """Return the shape of the stored images, from the settings alone."""
    if data.source == "digits":
        return ImageShape(1, 8, 8)
    if data.source in ("cifar10", "cifar100"):
        return ImageShape(3, 32, 32)
    assert data.size is not None
    height, width = data.size if isinstance(data.size, tuple) else (data.size, data.size)
    return ImageShape(data.channels, height, width)


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

    def files(self) -> Sequence[Path]:
        return ()

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        return {}

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


class WithValidation:
    """A source whose last training rows, in stored order, are the split `val`."""

    def __init__(self, source: ImageSource, ratio: float) -> None:
        self.source, self.ratio = source, ratio

    @property
    def class_names(self) -> Sequence[str]:
        return self.source.class_names

    def num_rows(self) -> dict[Split, int]:
        rows = self.source.num_rows()
        num_val = count_validation(rows["train"], self.ratio)
        if not 0 < num_val < rows["train"]:
            raise ValueError(
                f"validation_ratio: {self.ratio} of {rows['train']} training rows leaves one of the splits train and "
                "val empty; give another share"
            )
        return {"train": rows["train"] - num_val, "val": num_val, "test": rows["test"]}

    def read(self, split: Split, start_row: int) -> Iterator[LabelledImages]:
        if split == "test":
            yield from self.source.read("test", start_row)
            return
        num_train = self.num_rows()["train"]
        if split == "val":
            yield from self.source.read("train", num_train + start_row)
            return
        missing = num_train - start_row
        for part in self.source.read("train", start_row):
            if missing <= 0:
                return
            yield LabelledImages(part.images[:missing], part.labels[:missing])
            missing -= len(part.labels)

    def files(self) -> Sequence[Path]:
        return self.source.files()

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        files = self.source.split_files()
        num_train = self.num_rows()["train"] if files else 0
        return {**files, "train": files["train"][:num_train], "val": files["train"][num_train:]} if files else {}

    def content_hash(self) -> str:
        return self.source.content_hash()


def count_validation(num_rows: int, ratio: float) -> int:
    """Return this share of the rows, rounded down, without the float error of, for example, 0.29 * 100."""
    return int(round(num_rows * ratio, 6))


def _every_fifth_of_each_class(labels: np.ndarray) -> np.ndarray:
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[4::5]] = True
    return chosen

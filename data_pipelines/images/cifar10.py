"""CIFAR-10 as its authors distribute it: Python pickles or binary records."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data_pipelines.contract.pipeline import Split
from data_pipelines.images.sources import LabelledImages
from data_pipelines.readers.file_listing import refuse_same_files
from data_pipelines.readers.safe_pickle import load_plain_pickle

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Class names in the order of the labels."""
_NUM_CLASSES = len(CIFAR10_CLASSES)
_PIXELS = 3 * 32 * 32


def find_cifar10(path: Path) -> "Cifar10Source":
    """Return the reader of the form at `path` or in its usual subfolder.

    Raises ValueError naming the files that are expected.
    """
    for form in (PickledCifar10, BinaryCifar10):
        for folder in (path, path / form.folder_name):
            if any((folder / name).is_file() for name in form.all_files()):
                return form(folder)
    raise ValueError(
        f"{path} holds no CIFAR-10: expected {PickledCifar10.folder_name}/data_batch_1 "
        f"or {BinaryCifar10.folder_name}/data_batch_1.bin in it"
    )


class Cifar10Source(ABC):
    """Source of 32x32 colour images, in batches of any length, in the order of the files."""

    folder_name: ClassVar[str]
    suffix: ClassVar[str]
    names_file: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        missing = [name for name in self.all_files() if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{folder} lacks {', '.join(missing)}; unpack the whole CIFAR-10 archive again")
        self.folder = folder

    @classmethod
    def all_files(cls) -> list[str]:
        """Return the names of every file of this form."""
        batches = [f"data_batch_{number}{cls.suffix}" for number in range(1, 6)]
        return [*batches, f"test_batch{cls.suffix}", cls.names_file]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The ten names, in the order of the labels."""
        path = self.folder / self.names_file
        names = self._read_class_names(path)
        if len(names) != _NUM_CLASSES:
            raise ValueError(f"{path}: names {len(names)} classes, expected {_NUM_CLASSES}")
        return names

    def num_rows(self) -> dict[Split, int]:
        return {split: sum(self._rows_of[name] for name in self._files(split)) for split in ("train", "test")}

    def read(self, split: Split, start_row: int) -> Iterator[LabelledImages]:
        for name in self._files(split):
            if start_row < self._rows_of[name]:
                batch = self._read_batch(self.folder / name)
                yield LabelledImages(batch.images[start_row:], batch.labels[start_row:])
            start_row = max(0, start_row - self._rows_of[name])

    def files(self) -> list[Path]:
        return [self.folder / name for name in self.all_files()]

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        """Return the batches, of which a copy is noticed too."""
        return {split: [self.folder / name for name in self._files(split)] for split in ("train", "test")}

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for file in self.files():
            digest.update(file.read_bytes())
        return digest.hexdigest()

    @classmethod
    def _files(cls, split: Split) -> list[str]:
        return cls.all_files()[:5] if split == "train" else cls.all_files()[5:6]

    @cached_property
    def _rows_of(self) -> dict[str, int]:
        refuse_same_files([self.folder / name for name in self.all_files()[:6]])
        counts = {name: self._count(self.folder / name) for name in self.all_files()[:6]}
        for name, count in counts.items():
            if not count:
                raise ValueError(f"{self.folder / name}: holds no images; copy it again")
        return counts

    @abstractmethod
    def _count(self, path: Path) -> int: ...

    @abstractmethod
    def _read_batch(self, path: Path) -> LabelledImages: ...

    @abstractmethod
    def _read_class_names(self, path: Path) -> tuple[str, ...]: ...


class PickledCifar10(Cifar10Source):
    """`cifar-10-batches-py`: pickled dicts of Python 2, or the same written by Python 3."""

    folder_name = "cifar-10-batches-py"
    suffix = ""
    names_file = "batches.meta"

    def _count(self, path: Path) -> int:
        return len(self._read_batch(path).labels)

    def _read_batch(self, path: Path) -> LabelledImages:
        content = load_dict(path, "data", "labels")
        return read_pickled_images(path, content["data"], content["labels"], num_classes=_NUM_CLASSES)

    def _read_class_names(self, path: Path) -> tuple[str, ...]:
        return read_names(path, "label_names")


class BinaryCifar10(Cifar10Source):
    """`cifar-10-batches-bin`: records of one label byte and 3072 pixel bytes."""

    folder_name = "cifar-10-batches-bin"
    suffix = ".bin"
    names_file = "batches.meta.txt"

    def _count(self, path: Path) -> int:
        num_bytes = path.stat().st_size
        if num_bytes % (1 + _PIXELS):
            raise ValueError(f"{path}: has {num_bytes} bytes, expected a multiple of {1 + _PIXELS}; is it cut off?")
        return num_bytes // (1 + _PIXELS)

    def _read_batch(self, path: Path) -> LabelledImages:
        records = np.fromfile(path, np.uint8).reshape(self._count(path), 1 + _PIXELS)
        return _checked(path, records[:, 1:], records[:, 0], num_classes=_NUM_CLASSES)

    def _read_class_names(self, path: Path) -> tuple[str, ...]:
        return tuple(path.read_text(encoding="utf-8", errors="replace").split())


def read_pickled_images(path: Path, pixels: Any, labels: Any, *, num_classes: int) -> LabelledImages:
    """Return the rows of one pickled batch, checked; ValueError names the file and the fault."""
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_PIXELS,):
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ValueError(f"{path}: `data` is {found}, expected uint8 (rows, {_PIXELS})")
    if not isinstance(labels, list | np.ndarray) or len(labels) != len(pixels):
        found = f"{len(labels)} labels" if isinstance(labels, list | np.ndarray) else type(labels).__name__
        raise ValueError(f"{path}: `labels` is {found} for {len(pixels)} images")
    for row, label in enumerate(labels):
        if not isinstance(label, int | np.integer):
            raise ValueError(f"{path}: row {row} has the label {label!r}, expected a whole number 0..{num_classes - 1}")
    return _checked(path, pixels, np.asarray(labels), num_classes=num_classes)


def read_names(path: Path, key: str) -> tuple[str, ...]:
    """Read the list of names under `key` of a pickled dict."""
    names = load_dict(path, key)[key]
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise ValueError(f"{path}: `{key}` is not a list of names")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names)


def _checked(path: Path, pixels: np.ndarray, labels: np.ndarray, *, num_classes: int) -> LabelledImages:
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"{path}: row {row} has the label {labels[row]}, expected 0..{num_classes - 1}")
    images = np.ascontiguousarray(pixels).reshape(-1, 3, 32, 32)
    return LabelledImages(images, labels.astype(np.int64))


def load_dict(path: Path, *needed: str) -> dict[str, Any]:
    """Read a pickled dict of plain data that has the needed keys."""
    content = load_plain_pickle(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected a dict with {', '.join(needed)}")
    named = {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}
    missing = [key for key in needed if key not in named]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(sorted(named))}")
    return named

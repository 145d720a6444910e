"""CIFAR-10 as its authors distribute it: Python pickles or binary records."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
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
_PIXELS = 3 * 32 * 32


def find_cifar10(path: Path) -> "CifarSource":
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


class CifarSource(ABC):
    """Source of 32x32 colour images, in batches of any length, in the order of the files."""

    folder_name: ClassVar[str]
    train_files: ClassVar[tuple[str, ...]]
    test_file: ClassVar[str]
    names_file: ClassVar[str]
    num_classes: ClassVar[int] = len(CIFAR10_CLASSES)

    def __init__(self, folder: Path) -> None:
        missing = [name for name in self.all_files() if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{folder} lacks {', '.join(missing)}; unpack the whole CIFAR-10 archive again")
        self.folder = folder

    @classmethod
    def all_files(cls) -> list[str]:
        """Return the names of every file of this form."""
        return [*cls.train_files, cls.test_file, cls.names_file]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names, in the order of the labels."""
        path = self.folder / self.names_file
        names = self._read_class_names(path)
        if len(names) != self.num_classes:
            raise ValueError(f"{path}: names {len(names)} classes, expected {self.num_classes}")
        return names

    def num_rows(self) -> dict[Split, int]:
        return {split: sum(self._rows_of[file] for file in files) for split, files in self.split_files().items()}

    def read(self, split: Split, start_row: int) -> Iterator[LabelledImages]:
        for file in self.split_files()[split]:
            if start_row < self._rows_of[file]:
                batch = self._read_batch(file)
                yield LabelledImages(batch.images[start_row:], batch.labels[start_row:])
            start_row = max(0, start_row - self._rows_of[file])

    def files(self) -> list[Path]:
        return [self.folder / name for name in self.all_files()]

    def split_files(self) -> dict[Split, list[Path]]:
        """Return the batches, of which a copy is noticed too."""
        return {"train": [self.folder / name for name in self.train_files], "test": [self.folder / self.test_file]}

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for file in self.files():
            digest.update(file.read_bytes())
        return digest.hexdigest()

    @cached_property
    def _rows_of(self) -> dict[Path, int]:
        batches = self.files()[:-1]
        refuse_same_files(batches)
        counts = {file: self._count(file) for file in batches}
        for file, count in counts.items():
            if not count:
                raise ValueError(f"{file}: holds no images; copy it again")
        return counts

    @abstractmethod
    def _count(self, path: Path) -> int: ...

    @abstractmethod
    def _read_batch(self, path: Path) -> LabelledImages: ...

    @abstractmethod
    def _read_class_names(self, path: Path) -> tuple[str, ...]: ...


class PickledCifar10(CifarSource):
    """`cifar-10-batches-py`: pickled dicts of Python 2, or the same written by Python 3."""

    folder_name = "cifar-10-batches-py"
    train_files = tuple(f"data_batch_{number}" for number in range(1, 6))
    test_file = "test_batch"
    names_file = "batches.meta"
    labels_key: ClassVar[str] = "labels"
    names_key: ClassVar[str] = "label_names"

    def _count(self, path: Path) -> int:
        return len(self._read_batch(path).labels)

    def _read_batch(self, path: Path) -> LabelledImages:
        content = _load_dict(path, "data", self.labels_key)
        return _read_images(path, content["data"], content[self.labels_key], num_classes=self.num_classes)

    def _read_class_names(self, path: Path) -> tuple[str, ...]:
        names = _load_dict(path, self.names_key)[self.names_key]
        if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
            raise ValueError(f"{path}: `{self.names_key}` is not a list of names")
        return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names)


class BinaryCifar10(CifarSource):
    """`cifar-10-batches-bin`: records of one label byte and 3072 pixel bytes."""

    folder_name = "cifar-10-batches-bin"
    train_files = tuple(f"{name}.bin" for name in PickledCifar10.train_files)
    test_file = "test_batch.bin"
    names_file = "batches.meta.txt"

    def _count(self, path: Path) -> int:
        num_bytes = path.stat().st_size
        if num_bytes % (1 + _PIXELS):
            raise ValueError(f"{path}: has {num_bytes} bytes, expected a multiple of {1 + _PIXELS}; is it cut off?")
        return num_bytes // (1 + _PIXELS)

    def _read_batch(self, path: Path) -> LabelledImages:
        records = np.fromfile(path, np.uint8).reshape(self._count(path), 1 + _PIXELS)
        return _checked(path, records[:, 1:], records[:, 0], num_classes=self.num_classes)

    def _read_class_names(self, path: Path) -> tuple[str, ...]:
        return tuple(path.read_text(encoding="utf-8", errors="replace").split())


def _read_images(path: Path, pixels: Any, labels: Any, *, num_classes: int) -> LabelledImages:
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


def _checked(path: Path, pixels: np.ndarray, labels: np.ndarray, *, num_classes: int) -> LabelledImages:
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"{path}: row {row} has the label {labels[row]}, expected 0..{num_classes - 1}")
    images = np.ascontiguousarray(pixels).reshape(-1, 3, 32, 32)
    return LabelledImages(images, labels.astype(np.int64))


def _load_dict(path: Path, *needed: str) -> dict[str, Any]:
    """Read a pickled dict of plain data that has the needed keys."""
    content = load_plain_pickle(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected a dict with {', '.join(needed)}")
    named = {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}
    missing = [key for key in needed if key not in named]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(sorted(named))}")
    return named

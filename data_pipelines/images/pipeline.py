"""Pipeline of labelled images: stored rows of raw pixels, and batches of images with classes."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pyarrow as pa

from data_pipelines.contract.choosing import ROW, STORE, ChoosingPipeline, StoreRows
from data_pipelines.contract.pipeline import DataSpec, Manifest, Split
from data_pipelines.contract.row_draws import TorchDraws
from data_pipelines.images.cifar10 import CIFAR10_CLASSES, find_cifar10
from data_pipelines.images.cifar100 import CIFAR100_CLASSES, find_cifar100
from data_pipelines.images.config import ImageData
from data_pipelines.images.sources import (
    DigitsSource,
    ImageSource,
    LabelledImages,
    WithValidation,
    count_validation,
    raw_shape,
)
from data_pipelines.prepared.byte_columns import tensor_of
from data_pipelines.prepared.sources.source_pipeline import SourcePipeline, require_path
from data_pipelines.readers.bad_file import BadFileError

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8
    from torch import Tensor

_ROWS_PER_TABLE = 4096


class ImageBatch(TypedDict):
    """Images with their classes."""

    image: "UInt8[Tensor, 'batch channels height width']"
    label: "Int64[Tensor, ' batch']"


class ImagePipeline(SourcePipeline[ImageBatch], ChoosingPipeline[ImageBatch]):
    """Pipeline of the images in `ImageData`; each row holds raw pixels in the order channel, height, width.

    With a validation split it chooses its rows from those of the pipeline without.
    """

    collates_by_row = True
    embedded = {"digits": "scikit-learn digits"}

    def __init__(self, data: ImageData) -> None:
        self.data: ImageData = data
        self.shape = raw_shape(data)

    @property
    def key_prefix(self) -> str:
        """The source, and the shape when it is a setting."""
        if not self.data.holds_files:
            return self.data.source
        return f"{self.data.source}-{self.shape.channels}x{self.shape.height}x{self.shape.width}"

    @property
    def key_settings(self) -> list[float]:
        """The share of the validation split."""
        return [self.data.validation_ratio] if self.data.validation_ratio else []

    @property
    def schema(self) -> pa.Schema:
        num_pixels = self.shape.channels * self.shape.height * self.shape.width
        return pa.schema(
            [
                pa.field("image", pa.binary(num_pixels), nullable=False),
                pa.field("label", pa.int64(), nullable=False),
            ]
        )

    def raw_data_spec(self, *, has_raw: bool) -> DataSpec:
        """Return `channels`, `height`, `width`, `class_names`, and `validation` if there is such a split."""
        rule = {"validation": self.data.validation_rule} if self.data.validation_ratio else {}
        known = {"cifar10": CIFAR10_CLASSES, "cifar100": CIFAR100_CLASSES}
        if not has_raw and self.data.source in known:
            return {**self.shape._asdict(), "class_names": list(known[self.data.source]), **rule}
        return {**self.shape._asdict(), "class_names": list(self._raw.class_names), **rule}

    def refuse_prepared(self, manifest: Manifest) -> None:
        """Raise ValueError for another validation split, which is not part of the family's name."""
        rule = self.data.validation_rule if self.data.validation_ratio else None
        before = manifest.data_spec.get("validation")
        if before != rule:
            raise ValueError(
                f"{self.data.prepared} was prepared with the validation split: {before}, but "
                f"`validation_ratio` asks for: {rule}; give `workload.data.path` and another folder as `prepared`"
            )

    def nominal_rows(self) -> dict[Split, int]:
        """Return the rows of CIFAR as it is distributed."""
        if self.data.source not in ("cifar10", "cifar100"):
            return {}
        num_val = count_validation(50_000, self.data.validation_ratio)
        val: dict[Split, int] = {"val": num_val} if num_val else {}
        return {"train": 50_000 - num_val, **val, "test": 10_000}

    def source_hash(self) -> str:
        return self._raw.content_hash()

    def list_raw_files(self) -> Sequence[Path]:
        return self._raw.files()

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        return self._raw.split_files()

    def num_raw_rows(self) -> dict[Split, int]:
        return self._raw.num_rows()

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        return (self._table(part) for part in self._raw.read(split, start_row))

    def stores(self) -> "Sequence[ImagePipeline]":
        """Return the pipeline without a validation split, for one that has it."""
        if not (self.data.validation_ratio and self.has_raw):
            return ()
        changes = {"validation_ratio": 0.0, "prepared": None, "on_bad_file": "skip"}
        return [ImagePipeline(self.data.model_copy(update=changes))]

    def choose(self, split: Split, start_row: int, stores: Sequence[StoreRows]) -> Iterator[pa.Table]:
        """Yield the places of the rows of a split, in tables of `_ROWS_PER_TABLE`."""
        num_rows = self.num_raw_rows()
        stored_split, first = ("train", num_rows["train"]) if split == "val" else (split, 0)
        rows: list[int] = []
        for row in range(start_row, num_rows.get(split, 0)):
            try:
                rows.append(stores[0].find(stored_split, first + row))
            except BadFileError:
                yield self._choice(rows)
                raise
            if len(rows) == _ROWS_PER_TABLE:
                yield self._choice(rows)
                rows = []
        yield self._choice(rows)

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path | str, first_row: int) -> None:
        """Raise ValueError unless every label numbers a class."""
        labels = table["label"].to_numpy()
        num_classes = len(data_spec["class_names"])
        wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"{file}: row {first_row + row} has the label {labels[row]}, expected 0..{num_classes - 1}"
            )

    def collate(self, table: pa.Table) -> ImageBatch:
        """Return the pixels as they lie in the table, without a copy, and a copy of the labels."""
        import torch

        image = tensor_of(table["image"]).reshape(-1, *self.shape)
        return {"image": image, "label": torch.from_numpy(np.array(table["label"].to_numpy(), dtype=np.int64))}

    def augment(self, batch: ImageBatch, *, draws: TorchDraws) -> ImageBatch:
        """Crop each image at random, then flip it left to right with probability 1/2, as the settings ask."""
        from data_pipelines.images.augmentation import crop_padded, flip_half

        image = batch["image"]
        if self.data.crop_padding:
            image = crop_padded(image, self.data.crop_padding, draws=draws)
        if self.data.horizontal_flip:
            image = flip_half(image, draws=draws)
        return {"image": image, "label": batch["label"]}

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        """Return uniformly random pixels with cycling labels."""
        images = np.random.default_rng(seed).integers(0, 256, size=(num_rows, *self.shape), dtype=np.uint8)
        num_classes = len(self.data_spec()["class_names"])
        return self._table(LabelledImages(images, np.arange(num_rows, dtype=np.int64) % num_classes))

    @cached_property
    def _raw(self) -> ImageSource:
        return open_source(self.data)

    def _choice(self, rows: Sequence[int]) -> pa.Table:
        return pa.table({STORE: [0] * len(rows), ROW: rows}, schema=self.choice_schema)

    def _table(self, part: LabelledImages) -> pa.Table:
        field = self.schema.field("image").type
        pixels = pa.py_buffer(np.ascontiguousarray(part.images))
        images = pa.FixedSizeBinaryArray.from_buffers(field, len(part.images), [None, pixels])
        return pa.table([images, pa.array(part.labels)], schema=self.schema)


def open_source(data: ImageData) -> ImageSource:
    """Return the reader for the settings; ValueError when nothing readable lies at `path`."""
    source = _open_raw(data)
    return WithValidation(source, data.validation_ratio) if data.validation_ratio else source


def _open_raw(data: ImageData) -> ImageSource:
    if data.source == "digits":
        return DigitsSource()
    path = require_path(data)
    if data.source == "cifar10":
        return find_cifar10(path)
    if data.source == "cifar100":
        return find_cifar100(path)
    from data_pipelines.images.class_folders import FolderSource, UnlabelledSource  # bring Pillow

    return (UnlabelledSource if data.source == "unlabelled" else FolderSource)(path, raw_shape(data))

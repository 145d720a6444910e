"""The contract of a data pipeline: from raw files to Parquet rows, and from rows to a typed batch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
import pyarrow as pa

from data_pipelines.contract.config import Config

if TYPE_CHECKING:
    import torch

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DataSpec = Mapping[str, Any]
"""What a task must know of its data before it sees a batch, for example image shape and class names; JSON only."""
Counts = Mapping[str, Mapping[str, int]]
"""Numbers by group and name, for example cycles found and kept of each class."""

Batch = TypeVar("Batch")


class Shard(Config):
    """One Parquet file of a split."""

    name: str
    """File name inside the prepared folder, for example `train-00003.parquet`."""
    num_rows: int
    """Rows as they are stored."""
    num_samples: int | None = None
    """Rows that they are decoded to, when that is another number; see `DataPipeline.decode`."""
    num_bytes: int
    """Size of the file on disk."""
    sha256: str

    @property
    def decoded_rows(self) -> int:
        """Samples of a training."""
        return self.num_rows if self.num_samples is None else self.num_samples


class Manifest(Config):
    """What a prepared folder holds; written last, so a folder without one is never taken for whole."""

    format: Literal[1] = 1
    pipeline: str
    """The pipeline's `key`."""
    source: str
    """Where the rows came from, in words: a path or the name of an embedded set."""
    source_hash: str
    """SHA-256 over the raw input, to see later whether it has changed."""
    arrow_schema: str
    """The Arrow schema as text."""
    decoded_bytes: dict[str, int]
    """Bytes of each split as decoded Arrow tables; decides whether a split fits the object store."""
    data_spec: dict[str, Any]
    splits: dict[str, list[Shard]]
    counts: dict[str, dict[str, dict[str, int]]] = {}
    """Of each split, by group and name, what the pipeline counts."""

    def num_rows(self, split: Split) -> int:
        """Stored rows of one split, 0 when the split is absent."""
        return sum(shard.num_rows for shard in self.splits.get(split, []))

    def num_samples(self, split: Split) -> int:
        """Decoded rows of one split: what a batch is made of."""
        return sum(shard.decoded_rows for shard in self.splits.get(split, []))


class DataPipeline(ABC, Generic[Batch]):
    """Reads one family of data; constructed from settings alone, cheap to build and to pickle."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Name of the prepared folder: the source and a digest of all that changes its rows."""

    @property
    def prepared(self) -> Path | None:
        """Folder of the prepared rows, when the user names one."""
        return None

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the rows come from, in words."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The fixed Arrow schema of the stored rows."""

    @abstractmethod
    def data_spec(self) -> DataSpec:
        """What a task must know, found cheaply from the settings or a directory listing; imports no torch.

        Raises ValueError when the raw data are not where the settings say.
        """

    @abstractmethod
    def source_hash(self) -> str:
        """SHA-256 over the raw input, in a fixed order."""

    @abstractmethod
    def num_raw_rows(self) -> dict[Split, int]:
        """Rows of each split of the raw data."""

    def nominal_rows(self) -> dict[Split, int]:
        """Rows that a published data set has, known without the data; empty for any other."""
        return {}

    @abstractmethod
    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        """Tables of `schema`, in a fixed order, from `start_row` of the split on.

        Raises ValueError naming file and row (and what is allowed) for anything that cannot be read.
        """

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path, first_row: int) -> None:
        """Raise ValueError naming `file` and the row when a stored value is out of range."""

    def count(self, table: pa.Table) -> Counts:
        """Numbers of these stored rows that people should see; added up over each split when the data are prepared."""
        return {}

    def decode(self, table: pa.Table) -> pa.Table:
        """Stored rows to the rows that `collate` takes; runs in a Ray Data task, pure, nothing random.

        One stored row may give several, as a recording gives heart cycles; the same row always gives the same ones.
        """
        return table

    @abstractmethod
    def collate(self, table: pa.Table) -> Batch:
        """Decoded rows to one batch of CPU tensors, which may lie in the table's memory; runs on the training worker,
        pure. The table is the batch's own. What evaluation gets, and training where `cut` says nothing else."""

    aliases_rows: bool = False
    """Whether `cut` takes but a part of each row. Nothing is copied for it beforehand: its table lies in memory that
    others read too."""

    def collate_train(self, table: pa.Table, random: np.random.Generator) -> Batch:
        """Decoded rows to one training batch of CPU tensors, as `collate` does; of rows that hold more than a batch
        needs, as an image of which a patch is trained on, only the part that is drawn with `random`."""
        return self.collate(table)

    def augment(self, batch: Batch, *, generator: "torch.Generator") -> Batch:
        """A randomly changed copy of a training batch, on its device. All randomness comes from `generator`."""
        return batch

    @abstractmethod
    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        """Made-up rows with the stored schema, for tests and benchmarks."""

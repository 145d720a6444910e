"""The contract of a data pipeline: from raw files to Parquet rows, and from rows to a typed batch."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from data_pipelines.contract.config import Config, OnBadFile
from data_pipelines.contract.row_draws import NumpyDraws, TorchDraws
from data_pipelines.storage.folder import Folder

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
DataSpec = Mapping[str, Any]
"""Properties of the data that a task needs before it gets a batch, for example image shape and class names; JSON only.
What stands under `preprocessing` must be as in the training wherever a model is used."""
Counts = Mapping[str, Mapping[str, int]]
"""Numbers by group and name, for example cycles found and kept of each class."""

Batch = TypeVar("Batch", bound=Mapping[str, Any])
"""A batch: tensors by name, whose first dimension counts the samples; a `TypedDict` may name them."""


class Shard(Config):
    """One Parquet file of a split."""

    name: str
    """File name inside the prepared folder, for example `train-00003.parquet`."""
    num_rows: int
    """Rows as they are stored."""
    num_samples: int | None = None
    """Rows after decoding, when their number differs; see `DataPipeline.decode`."""
    num_bytes: int
    """Size of the file on disk."""
    sha256: str
    group_rows: int | None = None
    """Rows of a row group of the file, which can be read alone; None where decoding changes the number of rows, and in
    folders prepared by earlier versions: the file is read as a whole."""
    num_left_out: int = 0
    """Raw rows within its range that are not stored, because their files are damaged."""

    @property
    def num_raw_rows(self) -> int:
        """Number of raw rows that the shard covers, with those left out."""
        return self.num_rows + self.num_left_out

    @property
    def decoded_rows(self) -> int:
        """Number of rows after decoding: the samples of a training."""
        return self.num_rows if self.num_samples is None else self.num_samples


class LeftOut(Config):
    """A raw row that is not stored, because its file is damaged."""

    file: str
    fault: str
    row: int | None = None
    """Number of the raw row in its split; None in folders prepared by earlier versions."""


class StoreReference(Config):
    """Prepared folder of another pipeline, a store, whose rows this one chooses from.

    The store's folder lies beside, so that both can be moved together.
    """

    folder: str
    """Name of the store's folder."""
    key: str
    source_hash: str
    num_rows: int
    """Rows of all its splits; these three say whether the store still holds the rows that were chosen from."""


class FileCounts(Config):
    """Numbers of raw files; those used and those left out add up to those listed."""

    listed: int
    """Files that lie in the folders of the raw data, at any depth."""
    used: int
    """Files that shape a row, tables too."""
    left_out: dict[str, int] = {}
    """All others, by the reason."""


class Manifest(Config):
    """Content of a prepared folder; written last, so a folder without a manifest is incomplete."""

    format: Literal[1] = 1
    pipeline: str
    """The pipeline's `key`."""
    source: str
    """Origin of the rows, in words: a path or the name of an embedded set."""
    source_hash: str
    """SHA-256 over the raw input, to detect later changes."""
    arrow_schema: str
    """The Arrow schema as text."""
    decoded_bytes: dict[str, int]
    """Bytes of each split as decoded Arrow tables; decides whether a split fits the object store."""
    data_spec: dict[str, Any]
    splits: dict[str, list[Shard]]
    stores: list[StoreReference] = []
    """Stores that the rows are chosen from; the shards then say which rows, see `ChoosingPipeline`. None where the
    shards hold the rows themselves."""
    raw_stamp: str = ""
    """Digest of names, sizes and times of the raw files, which shows cheaply that nothing changed; empty: unknown."""
    files: FileCounts | None = None
    """Raw files, counted; None where the rows come from no files."""
    left_out: dict[str, list[LeftOut]] = {}
    """Raw rows that are not stored, by split; none unless the settings say `on_bad_file: skip`."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    """Numbers that the pipeline counts, by split, group and name."""

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_name(cls, value: Any) -> Any:
        """Read folders prepared by version 0.1, which call the data spec `facts`."""
        if isinstance(value, dict) and "facts" in value:
            return {("data_spec" if name == "facts" else name): entry for name, entry in value.items()}
        return value

    @property
    def all_left_out(self) -> list[LeftOut]:
        """Raw rows of all splits that are not stored."""
        return [each for found in self.left_out.values() for each in found]

    def num_rows(self, split: Split) -> int:
        """Return the stored rows of one split, 0 when the split is absent."""
        return sum(shard.num_rows for shard in self.splits.get(split, []))

    def num_raw_rows(self, split: Split) -> int:
        """Return the raw rows that the shards cover, with those left out."""
        return sum(shard.num_raw_rows for shard in self.splits.get(split, []))

    def num_samples(self, split: Split) -> int:
        """Return the decoded rows of one split, from which batches are made."""
        return sum(shard.decoded_rows for shard in self.splits.get(split, []))


class DecodedSize(NamedTuple):
    """Size of decoded rows."""

    num_rows: int
    nbytes: int


class DataPipeline(ABC, Generic[Batch]):
    """One family of data; built from settings alone, cheap to build and to pickle.

    `key`, `schema`, `read_raw` and `collate` must be written; `ArrayPipeline` has them for rows in memory.
    """

    aliases_rows: bool = False
    """Whether `collate_train` copies only a part of each row. If so, its table is not copied beforehand: it lies in
    shared memory and is read-only."""
    collates_by_row: bool = False
    """Whether `collate`, also in training, makes each sample from its row alone, so that streamed batches may be
    cut out of larger ones."""
    group_bytes: int | None = None
    """Bytes of a row group, about; None: those that suit rows read in a random order. A store whose rows are chosen one
    by one has smaller ones."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Name of the prepared folder: the source and a digest of everything that changes its rows."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The fixed Arrow schema of the stored rows."""

    @abstractmethod
    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        """Yield tables of `schema`, in a fixed order, from `start_row` of the split on; none for a split without rows.

        Raises:
            BadFileError: The row after those yielded cannot be read; a caller may go on with the row behind it.
            ValueError: Names file and row (and the allowed values) for anything else that cannot be read.
        """

    @abstractmethod
    def collate(self, table: pa.Table) -> Batch:
        """Turn decoded rows into one batch of CPU tensors, which may lie in the table's memory.

        Runs on the training worker, pure. The table is the batch's own. Evaluations get these batches, and trainings
        too unless `collate_train` is overridden.
        """

    @property
    def source(self) -> str:
        """Origin of the rows, in words."""
        return self.key

    @property
    def prepared(self) -> Folder | None:
        """Folder of the prepared rows, when the user names one."""
        return None

    def data_spec(self) -> DataSpec:
        """Return the data spec, found cheaply from settings or a listing; ValueError when there are no raw data."""
        return {}

    def source_hash(self) -> str:
        """Return a SHA-256 over the raw input, in a fixed order; by default over all rows of `read_raw`."""
        digest = hashlib.sha256()
        for split in SPLITS:
            for table in self.read_raw(split, 0):
                digest.update(f"{split} {table.num_rows}".encode())
                for column in table.columns:
                    for chunk in column.chunks:
                        digest.update(pa.record_batch([chunk], names=["column"]).serialize())
        return digest.hexdigest()

    @property
    def on_bad_file(self) -> OnBadFile:
        """Treatment of damaged raw files."""
        return "refuse"

    def raw_files(self) -> Sequence[Path]:
        """Return every file that shapes a row, tables too, in a fixed order; none for rows in memory."""
        return ()

    def raw_roots(self) -> Sequence[Path]:
        """Return the folders (or files) of the raw data, whose content `prepare` counts; none for rows in memory."""
        return ()

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        """Return the files of the samples of each split, each of one sample, without tables; where there are such."""
        return {}

    def used_files(self) -> Sequence[Path]:
        """Return the raw files of the rows of all splits; by default all of `raw_files`."""
        return self.raw_files()

    def num_raw_rows(self) -> dict[Split, int]:
        """Return the rows of each split of the raw data; by default they are read and counted."""
        counts: dict[Split, int] = {split: sum(table.num_rows for table in self.read_raw(split, 0)) for split in SPLITS}
        return {split: count for split, count in counts.items() if count}

    def nominal_rows(self) -> dict[Split, int]:
        """Return the rows that a published data set has, known without the data; empty for any other."""
        return {}

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path | str, first_row: int) -> None:
        """Raise ValueError naming `file` and the row when a stored value is out of range.

        `first_row` is the number of the table's first row in the shard `file`, for the message.
        """

    def count(self, table: pa.Table) -> Counts:
        """Return numbers of these stored rows to show to users; added up over each split by `prepare`."""
        return {}

    def decode(self, table: pa.Table) -> pa.Table:
        """Turn stored rows into the rows that `collate` takes; runs in a Ray Data task, pure, nothing random.

        One stored row may give several, as a recording gives heart cycles; the same row always gives the same ones.
        """
        return table

    def measure(self, table: pa.Table) -> DecodedSize:
        """Return the size of what stored rows decode to."""
        decoded = self.decode(table)
        return DecodedSize(decoded.num_rows, decoded.nbytes)

    def collate_train(self, table: pa.Table, draws: NumpyDraws) -> Batch:
        """Make a training batch, by default `collate(table)`.

        Override it to crop at random with `draws`, and set `aliases_rows` when only the crop is copied.
        """
        return self.collate(table)

    def augment(self, batch: Batch, *, draws: TorchDraws) -> Batch:
        """Return a randomly changed copy of a training batch, on its device; all randomness from `draws`."""
        return batch

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        """Return rows of the stored schema for tests and benchmarks; by default the first training rows, repeated.

        Pipelines of data that must be brought by the user override it with synthetic rows.
        """
        tables: list[pa.Table] = []
        for table in self.read_raw("train", 0):
            tables.append(table)
            if sum(each.num_rows for each in tables) >= num_rows:
                break
        table = pa.concat_tables(tables)
        rows = np.random.default_rng(seed).permutation(table.num_rows)
        return table.take(pa.array(np.resize(rows, num_rows))).combine_chunks()

"""Rows of a choosing pipeline: as they are stored, and put together with those of the stores."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipelines.contract.choosing import ROW, STORE, ChoosingPipeline
from data_pipelines.contract.config import OnBadFile
from data_pipelines.contract.pipeline import Counts, DataPipeline, DataSpec, DecodedSize, Shard, Split
from data_pipelines.prepared.choices.prepared_store import PreparedStore
from data_pipelines.prepared.choices.store_files import StoreFiles, put_back
from data_pipelines.prepared.shard_files import decode_checked
from data_pipelines.prepared.shard_reading import read_columns
from data_pipelines.storage.file_cache import FileCache
from data_pipelines.storage.folder import Folder


def load_choice(
    folder: Folder,
    shard: Shard,
    pipeline: ChoosingPipeline[Any],
    stores: Sequence[StoreFiles],
    rows: tuple[int, int],
    *,
    data_spec: DataSpec,
    cache: FileCache | None = None,
) -> pa.Table:
    """Read, check and decode rows of a shard that says which rows of the stores it holds.

    The stores are in the order of the manifest; `rows` are the first decoded row, and the one behind the last.

    Raises:
        ValueError: Names the file, the fault, and the remedy.
    """
    choice = read_columns(folder, shard, pipeline.choice_schema, cache=cache)
    bounds = np.concatenate([[0], np.cumsum(pipeline.count_decoded(choice))])
    first, last = rows
    low, high = int(np.searchsorted(bounds, first, "right")) - 1, int(np.searchsorted(bounds, last))
    table = join_stores(choice.slice(low, high - low), pipeline, stores)
    return decode_checked(table, folder, shard, pipeline, data_spec).slice(first - int(bounds[low]), last - first)


def join_stores(choice: pa.Table, pipeline: ChoosingPipeline[Any], stores: Sequence[StoreFiles]) -> pa.Table:
    """Return rows of the pipeline's schema: what the choice says, and what it chooses from the stores."""
    fields = pa.schema([field for field in pipeline.schema if field.name not in pipeline.own_columns])
    numbers, rows = choice[STORE].to_numpy(), choice[ROW].to_numpy()
    found, places = [fields.empty_table()], [np.empty(0, np.int64)]
    for number in np.unique(numbers).tolist():
        places.append(np.flatnonzero(numbers == number))
        found.append(stores[number].read(rows[places[-1]], fields))
    stored = put_back(pa.concat_tables(found), np.concatenate(places))
    columns = [(choice if name in pipeline.own_columns else stored)[name] for name in pipeline.schema.names]
    return pa.table(columns, schema=pipeline.schema)


class ChoiceRows(DataPipeline[Any]):
    """Pipeline of the rows of a choice as they are stored: which rows of the stores, and the columns that are added."""

    def __init__(self, pipeline: ChoosingPipeline[Any], stores: Sequence[PreparedStore]) -> None:
        self._pipeline, self._stores = pipeline, stores
        self._row_bytes = 0

    @property
    def key(self) -> str:
        return self._pipeline.key

    @property
    def schema(self) -> pa.Schema:
        return self._pipeline.choice_schema

    @property
    def source(self) -> str:
        return self._pipeline.source

    @property
    def on_bad_file(self) -> OnBadFile:
        return self._pipeline.on_bad_file

    def data_spec(self) -> DataSpec:
        return self._pipeline.data_spec()

    def source_hash(self) -> str:
        return self._pipeline.source_hash()

    def raw_files(self) -> Sequence[Path]:
        return self._pipeline.raw_files()

    def raw_roots(self) -> Sequence[Path]:
        return self._pipeline.raw_roots()

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        return self._pipeline.split_files()

    def used_files(self) -> Sequence[Path]:
        return self._pipeline.used_files()

    def num_raw_rows(self) -> dict[Split, int]:
        return self._pipeline.num_raw_rows()

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        return self._pipeline.choose(split, start_row, self._stores)

    def count(self, table: pa.Table) -> Counts:
        return self._pipeline.count(table)

    def measure(self, table: pa.Table) -> DecodedSize:
        """Return the size of what the chosen rows decode to; one of them is decoded to know its bytes."""
        counts = self._pipeline.count_decoded(table)
        num_rows = int(counts.sum())
        if num_rows and not self._row_bytes:
            first = table.slice(int(np.argmax(counts > 0)), 1)
            decoded = self._pipeline.decode(join_stores(first, self._pipeline, self._files))
            self._row_bytes = decoded.nbytes // decoded.num_rows
        return DecodedSize(num_rows, num_rows * self._row_bytes)

    def collate(self, table: pa.Table) -> Any:
        raise NotImplementedError("a batch is made of whole rows, not of the choice")

    @cached_property
    def _files(self) -> list[StoreFiles]:
        return [store.files for store in self._stores]

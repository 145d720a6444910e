"""A prepared store, as a choosing pipeline sees it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, LeftOut, Manifest, Split, StoreReference
from data_pipelines.prepared.choices.store_files import StoreFiles, open_store
from data_pipelines.prepared.shard_checks import refer_to
from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.storage.folder import Folder


class PreparedStore:
    """Rows of a prepared store by the numbers of their raw rows; the `StoreRows` of a choice."""

    def __init__(self, pipeline: DataPipeline[Any], folder: Folder, manifest: Manifest) -> None:
        self.pipeline, self.folder, self.manifest = pipeline, folder, manifest
        self._columns: dict[str, list[Any]] = {}

    @property
    def reference(self) -> StoreReference:
        """The reference in the manifest of a choice."""
        return refer_to(self.folder, self.manifest)

    @cached_property
    def files(self) -> StoreFiles:
        """Shards of the store."""
        return open_store(self.folder, self.manifest)

    def find(self, split: Split, raw_row: int) -> int:
        places = self._places.get(split)
        if places is None or raw_row >= len(places):
            raise ValueError(f"{self.folder} lacks row {raw_row} of {split}; run prepare with --again")
        if places[raw_row] < 0:
            self._raise_fault(split, raw_row)
        return int(places[raw_row])

    def column(self, name: str) -> list[Any]:
        if name not in self._columns:
            self._columns[name] = self.read(np.arange(self.files.num_rows), [name])[name].to_pylist()
        return self._columns[name]

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
        return self.files.read(rows, pa.schema([self.pipeline.schema.field(name) for name in columns]))

    @cached_property
    def _places(self) -> dict[str, np.ndarray]:
        """Number of each raw row of each split, -1 for one left out."""
        found, before = {}, 0
        for split in self.manifest.splits:
            is_stored = np.ones(self.manifest.num_raw_rows(cast(Split, split)), dtype=bool)
            is_stored[[self._row_of(each) for each in self.manifest.left_out.get(split, ())]] = False
            found[split] = np.where(is_stored, before + np.cumsum(is_stored) - 1, -1)
            before += int(is_stored.sum())
        return found

    def _row_of(self, left_out: LeftOut) -> int:
        if left_out.row is None:
            raise ValueError(
                f"{self.folder} was prepared by an earlier version, which did not note the rows of damaged files, such "
                f"as {left_out.file}; run prepare with --again"
            )
        return left_out.row

    def _raise_fault(self, split: Split, raw_row: int) -> NoReturn:
        fault = next(each for each in self.manifest.left_out[split] if each.row == raw_row)
        raise BadFileError(Path(fault.file), fault.fault)

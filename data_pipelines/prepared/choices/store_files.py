"""Shards of prepared stores, of which single rows are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import Manifest, Shard
from data_pipelines.prepared.manifest import read_manifest
from data_pipelines.prepared.shard_checks import refuse_lost_stores, refuse_missing
from data_pipelines.prepared.shard_reading import read_columns
from data_pipelines.storage.file_cache import FileCache
from data_pipelines.storage.folder import Folder


@dataclass(frozen=True)
class StoreFiles:
    """Shards of all splits of a store: names and counts only, nothing is held."""

    folder: Folder
    shards: tuple[Shard, ...]
    cache: FileCache | None = None

    @cached_property
    def starts(self) -> np.ndarray:
        """Number of rows before each shard, and of all."""
        return np.cumsum([0, *(shard.num_rows for shard in self.shards)])

    @property
    def num_rows(self) -> int:
        """Rows of all shards."""
        return int(self.starts[-1])

    @property
    def num_bytes(self) -> int:
        """Size of all shards on disk."""
        return sum(shard.num_bytes for shard in self.shards)

    def read(self, rows: np.ndarray, schema: pa.Schema) -> pa.Table:
        """Read some columns of the rows with these numbers, in this order, from the row groups that hold them.

        Raises ValueError naming the file.
        """
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        cuts = np.searchsorted(ascending, self.starts)
        found = [
            self._read_shard(self.shards[number], ascending[low:high] - self.starts[number], schema)
            for number, (low, high) in enumerate(pairwise(cuts.tolist()))
            if low < high
        ]
        return put_back(pa.concat_tables(found) if found else schema.empty_table(), order)

    def _read_shard(self, shard: Shard, rows: np.ndarray, schema: pa.Schema) -> pa.Table:
        size = shard.group_rows or shard.num_rows
        groups, places = np.unique(rows // size, return_inverse=True)
        wanted = None if shard.group_rows is None else groups.tolist()
        table = read_columns(self.folder, shard, schema, is_all=False, cache=self.cache, groups=wanted)
        places = places * size + rows % size
        return table if np.array_equal(places, np.arange(table.num_rows)) else table.take(pa.array(places))


def put_back(table: pa.Table, order: np.ndarray) -> pa.Table:
    """Return the rows in the places that `order` says for each of them."""
    if np.array_equal(order, np.arange(len(order))):
        return table
    return table.take(pa.array(np.argsort(order)))


def open_store(folder: Folder, store: Manifest) -> StoreFiles:
    """Open a store. Raises ValueError when a file is missing or cut off."""
    shards = tuple(shard for listed in store.splits.values() for shard in listed)
    refuse_missing(folder, shards)
    return StoreFiles(folder, shards)


def open_stores(folder: Folder, manifest: Manifest) -> tuple[StoreFiles, ...]:
    """Open the stores that the rows of a prepared folder are chosen from, none when it holds them itself.

    Raises ValueError when one is not there, or is not as it was.
    """
    refuse_lost_stores(folder, manifest)
    places: Sequence[Folder] = [folder.sibling(reference.folder) for reference in manifest.stores]
    stores = [(place, read_manifest(place)) for place in places]
    return tuple(open_store(place, store) for place, store in stores if store is not None)

"""Checks that the shards of a prepared folder are complete, with those of the stores that they choose from."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from data_pipelines.contract.pipeline import SPLITS, Manifest, Shard, StoreReference
from data_pipelines.prepared.manifest import read_manifest
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.uri import last_name


def has_size(sizes: Mapping[str, int], shard: Shard) -> bool:
    """Return whether the file is among these of a folder, and as long as it was when written."""
    return sizes.get(shard.name) == shard.num_bytes


def refuse_missing(folder: Folder, shards: Iterable[Shard]) -> None:
    """Raise ValueError for the first file that is missing or cut off."""
    sizes = folder.sizes()
    for shard in shards:
        if not has_size(sizes, shard):
            words = f"{folder / shard.name} is missing or cut off; run prepare again, it remakes just that shard"
            raise ValueError(words)


def has_hash(folder: Folder, shard: Shard) -> bool:
    """Return whether the file, which exists, is byte for byte as it was written."""
    return hashlib.sha256(folder.read(shard.name)).hexdigest() == shard.sha256


def is_whole(folder: Folder, manifest: Manifest) -> bool:
    """Return whether every shard exists and has its size, in the folder and in its stores."""
    sizes = folder.sizes()
    if not all(has_size(sizes, shard) for shards in manifest.splits.values() for shard in shards):
        return False
    return all(store is not None and is_whole(place, store) for place, store in _stores(folder, manifest))


def _stores(folder: Folder, manifest: Manifest) -> Iterator[tuple[Folder, Manifest | None]]:
    """Yield the folder and the manifest of each store, None for one that is not there or not as it was."""
    for reference in manifest.stores:
        place = folder.sibling(reference.folder)
        store = read_manifest(place)
        yield place, store if store is not None and refer_to(place, store) == reference else None


def refer_to(place: Folder, store: Manifest) -> StoreReference:
    """Return the reference to a prepared store."""
    num_rows = sum(store.num_rows(split) for split in SPLITS)
    name = last_name(place.uri)
    return StoreReference(folder=name, key=store.pipeline, source_hash=store.source_hash, num_rows=num_rows)


def refuse_lost_stores(folder: Folder, manifest: Manifest) -> None:
    """Raise ValueError when a store that the rows are chosen from is not there, or holds other rows."""
    for reference, (place, store) in zip(manifest.stores, _stores(folder, manifest), strict=True):
        if store is not None:
            continue
        if read_manifest(place) is None:
            raise ValueError(
                f"the rows of {folder} are chosen from those in {place}, which holds no prepared data; copy the folder "
                f"{reference.folder} there too, or give the raw data and run prepare"
            )
        raise ValueError(
            f"the rows of {folder} were chosen from those in {place}, which has been prepared anew from other raw "
            "data; run prepare again with the raw data, or bring back the earlier folder"
        )

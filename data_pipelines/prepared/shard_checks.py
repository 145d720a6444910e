"""Checks that the shards of a prepared folder are complete."""

import hashlib
from collections.abc import Mapping

from data_pipelines.contract.pipeline import Manifest, Shard
from data_pipelines.storage.folder import Folder


def has_size(sizes: Mapping[str, int], shard: Shard) -> bool:
    """Return whether the file is among these of a folder, and as long as it was when written."""
    return sizes.get(shard.name) == shard.num_bytes


def has_hash(folder: Folder, shard: Shard) -> bool:
    """Return whether the file, which exists, is byte for byte as it was written."""
    return hashlib.sha256(folder.read(shard.name)).hexdigest() == shard.sha256


def is_whole(folder: Folder, manifest: Manifest) -> bool:
    """Return whether every shard exists and has its size."""
    sizes = folder.sizes()
    return all(has_size(sizes, shard) for shards in manifest.splits.values() for shard in shards)

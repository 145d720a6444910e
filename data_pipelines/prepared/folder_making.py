"""Making of one prepared folder: whole ones are left as they are, the missing is made, the damaged repaired."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, Manifest, Shard, Split, StoreReference
from data_pipelines.prepared.folder_lock import only_one
from data_pipelines.prepared.making.raw_rows import read_pieces
from data_pipelines.prepared.making.shard_writer import MakeElsewhere, OnProgress, ShardWriter, read_unfinished
from data_pipelines.prepared.manifest import (
    MANIFEST_NAME,
    load_manifest,
    read_manifest,
    refuse_other_pipeline,
    save_manifest,
)
from data_pipelines.prepared.raw.raw_changes import warn_of_changes
from data_pipelines.prepared.shard_checks import has_size, is_whole
from data_pipelines.prepared.shard_files import delete_shards, write_shard
from data_pipelines.readers.bad_file import NAMED, few
from data_pipelines.storage.folder import Folder

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Making:
    """How shards are made; see `prepare`."""

    on_progress: OnProgress | None
    rows_per_shard: int | None
    num_processes: int | None
    most_processes: int
    make_elsewhere: MakeElsewhere | None
    names_damaged: bool = True
    """Whether damaged files whose rows are left out are named; those of a store are when something needs them."""

    def of_store(self) -> "Making":
        """Return the same for a store."""
        return replace(self, names_damaged=False)

    def here(self) -> "Making":
        """Return the same in this process alone, for a choice of rows, which takes no time."""
        return replace(self, num_processes=1, make_elsewhere=None)


def prepare_rows(
    pipeline: DataPipeline[Any], folder: Folder, making: Making, references: Sequence[StoreReference] = ()
) -> Manifest:
    """Make a folder hold the rows of a pipeline, doing only the missing work; returns its manifest.

    A choice from other stores than those that are referred to is made anew. Raises ValueError when the folder holds
    anything else, or the raw data cannot be read.
    """
    manifest = _prepare(pipeline, folder, making, references)
    if making.names_damaged:
        _warn_of_damaged(folder, manifest)
    return manifest


def _prepare(
    pipeline: DataPipeline[Any], folder: Folder, making: Making, references: Sequence[StoreReference]
) -> Manifest:
    whole = _whole_manifest(pipeline, folder, references)
    if whole is not None:
        return whole
    refuse_foreign(folder, pipeline.key)
    with only_one(folder) as refuse_if_lost:
        _remove_leftovers(folder)
        _forget_other_choice(folder, references)
        if read_manifest(folder) is not None:
            return _whole_manifest(pipeline, folder, references) or _repair(pipeline, folder, refuse_if_lost)
        writer = ShardWriter(
            pipeline,
            folder,
            rows_per_shard=making.rows_per_shard,
            num_processes=making.num_processes,
            most_processes=making.most_processes,
            make_elsewhere=making.make_elsewhere,
            on_progress=_both(making.on_progress, refuse_if_lost),
            stores=references,
        )
        return writer.run()


def _whole_manifest(
    pipeline: DataPipeline[Any], folder: Folder, references: Sequence[StoreReference]
) -> Manifest | None:
    if read_manifest(folder) is None:
        return None
    manifest = load_manifest(folder, pipeline)
    if (references and manifest.stores != list(references)) or not is_whole(folder, manifest):
        return None
    warn_of_changes(pipeline, folder, manifest)
    return manifest


def _forget_other_choice(folder: Folder, references: Sequence[StoreReference]) -> None:
    """Remove a choice from stores that have been prepared anew since; it is made again."""
    manifest = read_manifest(folder) if references else None
    if manifest is not None and manifest.stores != list(references):
        words = "the rows that those of %s are chosen from have been prepared anew; they are chosen again"
        _log.warning(words, folder)
        folder.delete(MANIFEST_NAME)
        delete_shards(folder)


def _warn_of_damaged(folder: Folder, manifest: Manifest) -> None:
    left_out = manifest.all_left_out
    if left_out:
        files = few((f"{each.file}: {each.fault}" for each in left_out), most=NAMED)
        _log.warning("%s lacks the rows of %d damaged files: %s", folder, len(left_out), files)


def refuse_foreign(folder: Folder, key: str) -> None:
    """Raise ValueError when a folder holds anything else than data of the pipeline with this key, or parts of them."""
    try:  # the names first: what another process has made by then is in one of the two files that are read after
        has_files = any(not name.startswith(".") for name in folder.names())
    except NotADirectoryError:
        has_files = True
    unfinished = read_unfinished(folder)
    if unfinished is not None:
        refuse_other_pipeline(folder, found=unfinished.manifest.pipeline, wanted=key)
        return
    if has_files and read_manifest(folder) is None:
        raise ValueError(f"{folder} holds files that prepare did not write; give a new or an empty folder")


def _repair(pipeline: DataPipeline[Any], folder: Folder, refuse_if_lost: Callable[[], None]) -> Manifest:
    manifest = load_manifest(folder, pipeline)
    if manifest.source_hash != pipeline.source_hash():
        raise ValueError(
            f"{folder}: a shard must be remade, but {pipeline.source} has changed since the folder was prepared; "
            "remove the folder and run prepare again"
        )
    manifest = remake_shards(pipeline, folder, manifest)
    refuse_if_lost()
    save_manifest(folder, manifest)
    return manifest


def _remove_leftovers(folder: Folder) -> None:
    folder.remove_temporary()
    for name in folder.names():
        if name.startswith(".") and name.endswith(".tmp"):  # of version 0.1.0
            folder.delete(name)


def _both(on_progress: OnProgress | None, refuse_if_lost: Callable[[], None]) -> OnProgress:
    def progress(done: int, total: int) -> None:
        refuse_if_lost()
        if on_progress is not None:
            on_progress(done, total)

    return progress


def remake_shards(pipeline: DataPipeline[Any], folder: Folder, manifest: Manifest) -> Manifest:
    """Write the shards that are missing or cut off again, from their raw rows; returns the new manifest."""
    sizes = folder.sizes()
    splits: dict[str, list[Shard]] = {}
    for split, shards in manifest.splits.items():
        splits[split], first_row = [], 0
        for shard in shards:
            good = has_size(sizes, shard)
            splits[split].append(shard if good else _remake(pipeline, folder, cast(Split, split), shard, first_row))
            first_row += shard.num_raw_rows
    return manifest.model_copy(update={"splits": splits})


def _remake(pipeline: DataPipeline[Any], folder: Folder, split: Split, shard: Shard, first_row: int) -> Shard:
    rows = next(read_pieces(pipeline, split, first_row, [shard.num_raw_rows]))
    if (rows.num_rows, len(rows.faults)) != (shard.num_rows, shard.num_left_out):
        raise ValueError(
            f"{folder / shard.name}: {rows.num_rows} rows can be read now, and {shard.num_rows} were stored; run "
            "prepare with --again"
        )
    table = pa.concat_tables(rows.tables)
    made = write_shard(table, folder, shard.name, pipeline.measure(table), group_bytes=pipeline.group_bytes)
    return made.model_copy(update={"num_left_out": shard.num_left_out})

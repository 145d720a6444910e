"""Preparation of a folder from raw files: Parquet shards with a manifest, resumable after a kill."""

import logging
import os
from collections.abc import Callable
from typing import Any

from data_pipelines.contract.pipeline import DataPipeline, Manifest
from data_pipelines.prepared.folder_lock import only_one
from data_pipelines.prepared.making.shard_writer import MakeElsewhere, OnProgress, ShardWriter, read_unfinished
from data_pipelines.prepared.manifest import (
    MANIFEST_NAME,
    load_manifest,
    read_manifest,
    refuse_other_pipeline,
    save_manifest,
)
from data_pipelines.prepared.raw_changes import warn_of_changes
from data_pipelines.prepared.repair import remake_shards
from data_pipelines.prepared.shard_checks import is_whole
from data_pipelines.prepared.shard_files import delete_shards
from data_pipelines.prepared.warning_limit import limited_warnings
from data_pipelines.readers.bad_file import NAMED, few
from data_pipelines.storage.folder import Folder

__all__ = ["is_prepared", "load_manifest", "prepare"]

_log = logging.getLogger(__name__)


def prepare(
    pipeline: DataPipeline[Any],
    folder: Folder,
    *,
    on_progress: OnProgress | None = None,
    rows_per_shard: int | None = None,
    again: bool = False,
    num_processes: int | None = None,
    most_processes: int | None = None,
    make_elsewhere: MakeElsewhere | None = None,
) -> Manifest:
    """Make `folder` hold all rows of the pipeline, doing only the missing work.

    A complete folder is left as it is, without reading the raw data; a missing or cut-off shard is written again alone;
    an interrupted call resumes after its last complete shard, with its `rows_per_shard`. A second process waits on a
    local disk; on other storage it is refused, see `only_one`.

    Args:
        pipeline: Reads the raw data.
        folder: The prepared folder; new, empty, or prepared by this pipeline.
        on_progress: Called with the rows read and all rows, whenever some have been read.
        rows_per_shard: Stored rows of one shard; by default chosen by their size.
        again: Write all shards anew, in a folder beside it, which takes its place when it is complete.
        num_processes: Processes that make shards; by default one, and several when much is left to do.
        most_processes: Most of these; by default the CPUs that this process may use.
        make_elsewhere: Makes shards on a cluster instead, when much is left to do; `num_processes` is then None.

    Returns:
        The folder's manifest.

    Raises:
        ValueError: The folder holds anything else, or the raw data cannot be read.
    """
    if again:
        fresh = folder.beside(".again")
        if not fresh.exists():
            _refuse_foreign(folder, pipeline.key)
        prepare(
            pipeline,
            fresh,
            on_progress=on_progress,
            rows_per_shard=rows_per_shard,
            num_processes=num_processes,
            most_processes=most_processes,
            make_elsewhere=make_elsewhere,
        )
        return _replace(folder, fresh, pipeline)
    with limited_warnings():
        whole = _whole_manifest(pipeline, folder)
        if whole is not None:
            return whole
        _refuse_foreign(folder, pipeline.key)
        with only_one(folder) as refuse_if_lost:
            _remove_leftovers(folder)
            if read_manifest(folder) is not None:
                return _whole_manifest(pipeline, folder) or _repair(pipeline, folder, refuse_if_lost)
            writer = ShardWriter(
                pipeline,
                folder,
                rows_per_shard=rows_per_shard,
                num_processes=num_processes,
                most_processes=most_processes or len(os.sched_getaffinity(0)),
                make_elsewhere=make_elsewhere,
                on_progress=_both(on_progress, refuse_if_lost),
            )
            manifest = writer.run()
            _warn_of_damaged(folder, manifest)
            return manifest


def is_prepared(folder: Folder) -> bool:
    """Return whether a folder holds a manifest and all its shards. Raises ValueError for a damaged manifest."""
    manifest = read_manifest(folder)
    return manifest is not None and is_whole(folder, manifest)


def _whole_manifest(pipeline: DataPipeline[Any], folder: Folder) -> Manifest | None:
    if read_manifest(folder) is None:
        return None
    manifest = load_manifest(folder, pipeline)
    if not is_whole(folder, manifest):
        return None
    warn_of_changes(pipeline, folder, manifest)
    _warn_of_damaged(folder, manifest)
    return manifest


def _replace(folder: Folder, fresh: Folder, pipeline: DataPipeline[Any]) -> Manifest:
    """Move a complete prepared folder to the place of another; the manifest comes last.

    After a kill in between, the shards that were moved are made again in `fresh`.
    """
    with only_one(folder) as refuse_if_lost:
        folder.delete(MANIFEST_NAME)
        delete_shards(folder)
        for name in [name for name in fresh.names() if name.endswith(".parquet")]:
            refuse_if_lost()
            _move(fresh, name, folder)
        _move(fresh, MANIFEST_NAME, folder)
        fresh.delete("")
    return load_manifest(folder, pipeline)


def _move(source: Folder, name: str, target: Folder) -> None:
    """Move a file to another folder of the same storage; on object stores it is copied."""
    if target.is_local:
        target.fs.move(source.full(name), target.full(name))
        return
    target.fs.copy_file(source.full(name), target.full(name))
    source.delete(name)


def _warn_of_damaged(folder: Folder, manifest: Manifest) -> None:
    left_out = manifest.all_left_out
    if left_out:
        files = few((f"{each.file}: {each.fault}" for each in left_out), most=NAMED)
        _log.warning("%s lacks the rows of %d damaged files: %s", folder, len(left_out), files)


def _refuse_foreign(folder: Folder, key: str) -> None:
    unfinished = read_unfinished(folder)
    if unfinished is not None:
        refuse_other_pipeline(folder, found=unfinished.manifest.pipeline, wanted=key)
        return
    if read_manifest(folder) is not None:
        return
    try:
        is_foreign = any(not name.startswith(".") for name in folder.names())
    except NotADirectoryError:
        is_foreign = True
    if is_foreign:
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

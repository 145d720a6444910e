"""Preparation of a folder from raw files: Parquet shards with a manifest, resumable after a kill."""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_pipelines.contract.pipeline import DataPipeline, Manifest
from data_pipelines.prepared.manifest import (
    MANIFEST_NAME,
    load_manifest,
    read_manifest,
    refuse_other_pipeline,
    save_manifest,
)
from data_pipelines.prepared.repair import has_size, is_whole, remake_shards
from data_pipelines.prepared.shard_writer import OnProgress, ShardWriter, read_unfinished, stamp_of
from data_pipelines.prepared.warning_limit import limited_warnings
from data_pipelines.readers.bad_file import NAMED, few
from data_pipelines.storage.atomic_file import TEMPORARY

__all__ = ["load_manifest", "prepare"]

_LOCK_NAME = ".lock"
_log = logging.getLogger(__name__)


def prepare(
    pipeline: DataPipeline[Any],
    folder: Path,
    *,
    on_progress: OnProgress | None = None,
    rows_per_shard: int | None = None,
    again: bool = False,
    num_processes: int | None = None,
    most_processes: int | None = None,
) -> Manifest:
    """Make `folder` hold all rows of the pipeline, doing only the missing work.

    A complete folder is left as it is, without reading the raw data; a missing or cut-off shard is written again alone;
    an interrupted call resumes after its last complete shard, with its `rows_per_shard`. A second process waits.

    Args:
        pipeline: Reads the raw data.
        folder: The prepared folder; new, empty, or prepared by this pipeline.
        on_progress: Called with the rows read and all rows, whenever some have been read.
        rows_per_shard: Stored rows of one shard; by default chosen by their size.
        again: Write all shards anew, in a folder beside it, which takes its place when it is complete.
        num_processes: Processes that make shards; by default one, and several when much is left to do.
        most_processes: Most of these; by default the CPUs that this process may use.

    Returns:
        The folder's manifest.

    Raises:
        ValueError: The folder holds anything else, or the raw data cannot be read.
    """
    if again:
        fresh = folder.with_name(f"{folder.name}.again")
        if not fresh.exists():
            _refuse_foreign(folder, pipeline.key)
        prepare(
            pipeline,
            fresh,
            on_progress=on_progress,
            rows_per_shard=rows_per_shard,
            num_processes=num_processes,
            most_processes=most_processes,
        )
        return _replace(folder, fresh, pipeline)
    with limited_warnings():
        whole = _whole_manifest(pipeline, folder)
        if whole is not None:
            return whole
        _refuse_foreign(folder, pipeline.key)
        with _only_one(folder):
            for leftover in [*folder.glob(f"{TEMPORARY}*"), *folder.glob(".*.tmp")]:  # the second of version 0.1.0
                leftover.unlink()
            if read_manifest(folder) is not None:
                return _whole_manifest(pipeline, folder) or _repair(pipeline, folder)
            writer = ShardWriter(
                pipeline,
                folder,
                rows_per_shard=rows_per_shard,
                num_processes=num_processes,
                most_processes=most_processes or len(os.sched_getaffinity(0)),
                on_progress=on_progress or _ignore,
            )
            manifest = writer.run()
            _warn_of_damaged(folder, manifest)
            return manifest


def _whole_manifest(pipeline: DataPipeline[Any], folder: Path) -> Manifest | None:
    if read_manifest(folder) is None:
        return None
    manifest = load_manifest(folder, pipeline)
    if not is_whole(folder, manifest):
        return None
    _warn_of_changes(pipeline, folder, manifest)
    _warn_of_damaged(folder, manifest)
    return manifest


def _replace(folder: Path, fresh: Path, pipeline: DataPipeline[Any]) -> Manifest:
    """Move a complete prepared folder to the place of another; the manifest comes last.

    After a kill in between, the shards that were moved are made again in `fresh`.
    """
    with _only_one(folder):
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        for path in folder.glob("*.parquet"):
            path.unlink()
        for path in sorted(fresh.glob("*.parquet")):
            path.rename(folder / path.name)
        (fresh / MANIFEST_NAME).rename(folder / MANIFEST_NAME)
        shutil.rmtree(fresh)
    return load_manifest(folder, pipeline)


def _warn_of_damaged(folder: Path, manifest: Manifest) -> None:
    left_out = manifest.all_left_out
    if left_out:
        files = few((f"{each.file}: {each.fault}" for each in left_out), most=NAMED)
        _log.warning("%s lacks the rows of %d damaged files: %s", folder, len(left_out), files)


def _warn_of_changes(pipeline: DataPipeline[Any], folder: Path, manifest: Manifest) -> None:
    """Log a warning when the raw data are at hand and are no longer those of the prepared rows.

    Their contents are read only when a name, a size or a time has changed.
    """
    try:
        stamp = stamp_of(pipeline)
    except ValueError as error:
        _log.warning("%s cannot be listed any more (%s); the rows of before are used", pipeline.source, error)
        return
    if not stamp or not manifest.raw_stamp or stamp == manifest.raw_stamp:
        return
    if pipeline.source_hash() == manifest.source_hash:
        save_manifest(folder, manifest.model_copy(update={"raw_stamp": stamp}))
        return
    _log.warning(
        "%s has changed since it was prepared in %s (%s); the rows of before are used: run prepare with --again, or "
        "give a new folder as `prepared`",
        *(pipeline.source, folder, _describe_change(pipeline, folder, manifest)),
    )


def _describe_change(pipeline: DataPipeline[Any], folder: Path, manifest: Manifest) -> str:
    """Say how many raw files there are and were, and which are newer than the prepared rows."""
    files = pipeline.raw_files()
    prepared_at = (folder / MANIFEST_NAME).stat().st_mtime
    newer = [file for file in files if file.exists() and file.stat().st_mtime > prepared_at]
    words = f"{len(newer)} files are newer: {few(newer)}" if newer else "none of its files is newer"
    now = len(pipeline.used_files())
    before = manifest.files.used if manifest.files else now
    return words if now == before else f"{before} files were used and {now} would be now; {words}"


def _refuse_foreign(folder: Path, key: str) -> None:
    unfinished = read_unfinished(folder)
    if unfinished is not None:
        refuse_other_pipeline(folder, found=unfinished.manifest.pipeline, wanted=key)
        return
    if not folder.exists() or read_manifest(folder) is not None:
        return
    if not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ValueError(f"{folder} holds files that prepare did not write; give a new or an empty folder")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            words = "%s cannot be locked there (%s); let no second command prepare it at the same time"
            _log.warning(words, folder, error.strerror)
        yield


def _repair(pipeline: DataPipeline[Any], folder: Path) -> Manifest:
    manifest = load_manifest(folder, pipeline)
    if manifest.source_hash != pipeline.source_hash():
        raise ValueError(
            f"{folder}: a shard must be remade, but {pipeline.source} has changed since the folder was prepared; "
            "remove the folder and run prepare again"
        )
    manifest = remake_shards(pipeline, folder, manifest, is_good=has_size)
    save_manifest(folder, manifest)
    return manifest


def _ignore(done: int, total: int) -> None:
    pass

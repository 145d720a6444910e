"""Warning of raw data that have changed since they were prepared."""

import hashlib
import logging
import os
from collections.abc import Sequence
from typing import Any

from data_pipelines.contract.pipeline import DataPipeline, Manifest
from data_pipelines.prepared.manifest import MANIFEST_NAME, save_manifest
from data_pipelines.prepared.raw.file_counts import DAMAGED
from data_pipelines.readers.bad_file import few
from data_pipelines.storage.folder import Folder

_log = logging.getLogger(__name__)


def warn_of_changes(pipeline: DataPipeline[Any], folder: Folder, manifest: Manifest) -> None:
    """Log a warning when the raw data are at hand and are no longer those of the prepared rows.

    Their contents are read only when a name, a size or a time has changed.
    """
    try:
        stamp = _new_stamp(pipeline, manifest)
    except ValueError as error:
        _log.warning("%s cannot be listed any more (%s); the rows of before are used", pipeline.source, error)
        return
    if not stamp:
        return
    if pipeline.source_hash() == manifest.source_hash:
        save_manifest(folder, manifest.model_copy(update={"raw_stamp": stamp}))
        return
    _log.warning(
        "%s has changed since it was prepared in %s (%s); the rows of before are used: run prepare with --again, or "
        "give a new folder as `prepared`",
        *(pipeline.source, folder, _describe_change(pipeline, folder, manifest)),
    )


def has_changed(pipeline: DataPipeline[Any], manifest: Manifest) -> bool:
    """Return whether the raw data are no longer those of the prepared rows, as far as files show it."""
    return bool(_new_stamp(pipeline, manifest)) and pipeline.source_hash() != manifest.source_hash


def _new_stamp(pipeline: DataPipeline[Any], manifest: Manifest) -> str:
    """Return the stamp of the raw data when it is another than that of the prepared rows, else nothing."""
    stamp = stamp_of(pipeline)
    return stamp if stamp and manifest.raw_stamp and stamp != manifest.raw_stamp else ""


def stamp_of(pipeline: DataPipeline[Any]) -> str:
    """Return a digest of the places, sizes, times and numbers on disk of the raw files; empty without any at hand.

    Raises ValueError when the raw data cannot be listed.
    """
    roots = [f"{root}{os.sep}" for root in pipeline.raw_roots()]
    try:
        stats = [(_place_of(str(file), roots), os.stat(file)) for file in pipeline.raw_files()]
    except OSError:  # a file is gone, or the raw data are not on this machine
        return ""
    lines = [f"{name}\n{status.st_size}\n{status.st_mtime_ns}\n{status.st_ino}\n" for name, status in stats]
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest() if lines else ""


def _place_of(file: str, roots: Sequence[str]) -> str:
    """Return a file's path below the folder of the raw data that holds it; of one that is raw data itself, its name."""
    root = next((root for root in roots if file.startswith(root)), None)
    return os.path.basename(file) if root is None else file[len(root) :]


def _describe_change(pipeline: DataPipeline[Any], folder: Folder, manifest: Manifest) -> str:
    """Say how many raw files there are and were, and which are newer than the prepared rows."""
    files = pipeline.raw_files()
    prepared_at = folder.modified_ns(MANIFEST_NAME)
    newer = [file for file in files if file.exists() and file.stat().st_mtime_ns > prepared_at]
    words = f"{len(newer)} files are newer: {few(newer)}" if newer else "none of its files is newer"
    now = len(pipeline.used_files())
    files_then = manifest.files
    before = files_then.used + files_then.left_out.get(DAMAGED, 0) if files_then else now
    return words if now == before else f"{before} files were used and {now} would be now; {words}"

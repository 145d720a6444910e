"""Preparation of a folder from raw files: Parquet shards with a manifest, resumable after a kill."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from data_pipelines.contract.choosing import ChoosingPipeline
from data_pipelines.contract.pipeline import DataPipeline, Manifest
from data_pipelines.prepared.choices.choice_rows import ChoiceRows
from data_pipelines.prepared.choices.prepared_store import PreparedStore
from data_pipelines.prepared.choices.store_files import open_stores
from data_pipelines.prepared.folder_lock import only_one
from data_pipelines.prepared.folder_making import Making, prepare_rows, refuse_foreign
from data_pipelines.prepared.making.shard_writer import MakeElsewhere, OnProgress
from data_pipelines.prepared.manifest import MANIFEST_NAME, load_manifest, read_manifest
from data_pipelines.prepared.raw.raw_changes import has_changed
from data_pipelines.prepared.shard_checks import is_whole
from data_pipelines.prepared.shard_files import delete_shards
from data_pipelines.prepared.warning_limit import limited_warnings
from data_pipelines.storage.folder import Folder

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
    local disk; on other storage it is refused, see `only_one`. The stores of a choosing pipeline are prepared in the
    same way first, in folders beside, named by their keys.

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
    making = Making(
        on_progress=on_progress,
        rows_per_shard=rows_per_shard,
        num_processes=num_processes,
        most_processes=most_processes or len(os.sched_getaffinity(0)),
        make_elsewhere=make_elsewhere,
    )
    with limited_warnings():
        return _prepare_again(pipeline, folder, making) if again else _prepare(pipeline, folder, making)


def is_prepared(folder: Folder) -> bool:
    """Return whether a folder holds a manifest and all its shards, and so do the stores that it chooses from.

    Raises ValueError for a damaged manifest.
    """
    manifest = read_manifest(folder)
    return manifest is not None and is_whole(folder, manifest)


def find_stores(pipeline: DataPipeline[Any], folder: Folder) -> list[Folder]:
    """Return the folders of the stores that the rows of a prepared folder are chosen from, or will be."""
    manifest = read_manifest(folder)
    if manifest is not None:
        return [folder.sibling(reference.folder) for reference in manifest.stores]
    stores = pipeline.stores() if isinstance(pipeline, ChoosingPipeline) else ()
    return [folder.sibling(store.key) for store in stores]


def _prepare(pipeline: DataPipeline[Any], folder: Folder, making: Making) -> Manifest:
    manifest = read_manifest(folder)
    holds_rows = manifest is not None and not manifest.stores  # by an earlier version, or without settings that choose
    if not isinstance(pipeline, ChoosingPipeline) or holds_rows:
        return prepare_rows(pipeline, folder, making)
    stores = pipeline.stores()
    if not stores:
        if manifest is not None:
            open_stores(folder, manifest)
        return prepare_rows(pipeline, folder, making)
    refuse_foreign(folder, pipeline.key)
    if manifest is None:  # what the settings cannot choose is refused before anything is stored
        pipeline.data_spec()
        pipeline.num_raw_rows()
    places = _find_places(stores, folder, manifest)
    prepared = [
        PreparedStore(store, place, _prepare(store, place, making.of_store()))
        for store, place in zip(stores, places, strict=True)
    ]
    references = [store.reference for store in prepared]
    return prepare_rows(ChoiceRows(pipeline, prepared), folder, making.here(), references)


def _find_places(stores: Sequence[DataPipeline[Any]], folder: Folder, manifest: Manifest | None) -> list[Folder]:
    """Return the folder of each store; a new choice from raw data that have changed gets another than those before."""
    named = {reference.key: reference.folder for reference in manifest.stores} if manifest is not None else {}
    places = [folder.sibling(named.get(store.key, store.key)) for store in stores]
    if manifest is not None:
        return places
    for number, (store, place) in enumerate(zip(stores, places, strict=True)):
        found = read_manifest(place)
        if found is not None and has_changed(store, found):
            places[number] = folder.sibling(f"{store.key}-{store.source_hash()[:8]}")
            words = "%s has changed since it was stored in %s, which is left as it is; it is stored anew in %s"
            _log.warning(words, store.source, place, places[number])
    return places


def _prepare_again(pipeline: DataPipeline[Any], folder: Folder, making: Making) -> Manifest:
    fresh = folder.sibling(f"{folder.name}.again")
    if not fresh.exists():
        refuse_foreign(folder, pipeline.key)
    if isinstance(pipeline, ChoosingPipeline):
        for store in pipeline.stores():
            _prepare_again(store, folder.sibling(store.key), making.of_store())
    _prepare(pipeline, fresh, making)
    return _replace(folder, fresh, pipeline)


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

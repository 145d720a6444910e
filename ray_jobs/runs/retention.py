"""What old runs, searches, checkpoints and prepared folders take in a storage path, and what is kept of it and why."""

import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import IDENTITY, load_identity
from ray_jobs.run_folder.inputs import INPUTS
from ray_jobs.run_folder.record_file import record_exists
from ray_jobs.run_folder.run_lock import LOCK, find_holder, locked
from ray_jobs.run_folder.run_recorder import CONFIG, FINAL
from ray_jobs.runs.model_references import REPEATED, RUNS, SEARCHES, TRIALS
from trainables.run_paths import CHECKPOINTS

Kind = Literal["runs", "searches", "repeats", "checkpoints", "data"]
KINDS: tuple[Kind, ...] = ("runs", "searches", "repeats", "checkpoints", "data")
WITHOUT_LOCK: tuple[Kind, ...] = ("data", "repeats")
"""Kinds that no process holds."""
DATA = "data"


@dataclass(frozen=True)
class Item:
    """Folder that could be removed."""

    kind: Kind
    name: str
    """Path below the storage path, for example `runs/NAME/checkpoints`."""
    num_bytes: int
    age_s: float
    """Seconds since anything in it was last written."""
    keeps: str = ""
    """Why it is kept; empty when nothing speaks for it."""
    names: frozenset[str] = field(default=frozenset(), repr=False)
    """Names by which others may refer to it."""
    words: frozenset[str] = field(default=frozenset(), repr=False)
    """Parts of paths and names in its own record, by which it may refer to others."""
    refers_to_all_data: bool = field(default=False, repr=False)
    """Whether it has not recorded yet what data it reads."""


def find_items(storage: Folder, *, older_than_s: float, kinds: Collection[Kind] = KINDS) -> list[Item]:
    """Find what is there, each with the reason to keep it; what has none may be removed. Writes nothing.

    Folders without the file that makes them a run, a search, scores of repeated runs or prepared data are not looked
    at: they are not ours.
    Links are kept, as what they lead to lies elsewhere.

    A folder is as old as the newest file in it, which in a run that is being trained is its lock. A reference counts
    from anything that stays: a kept run refers to its prepared data and to the runs whose models it was made from, a
    kept search to its trials, and prepared data to the store that their rows are chosen from.

    Raises:
        ValueError: A record in the storage path is damaged, so that what it refers to is not known.
    """
    searches, repeats = _find_by_file(storage, "searches", TRIALS), _find_by_file(storage, "repeats", REPEATED)
    found = [*_find_runs(storage), *searches, *repeats, *_find_data(storage)]
    judged = _keep_referred([_judge(item, storage, older_than_s, kinds) for item in found])
    return [*judged, *_find_checkpoints(storage, judged, older_than_s, kinds)]


def remove(storage: Folder, item: Item) -> None:
    """Remove an item. Raises ValueError when a process has begun to use it."""
    folder = storage / item.name
    owner = folder.parent if item.kind == "checkpoints" else folder
    if item.kind in WITHOUT_LOCK:
        storage.delete(item.name)
        return
    with locked(owner, on_lost=lambda words: None):
        for name in folder.names():
            if not name.startswith(LOCK):
                folder.delete(name)
    storage.delete(item.name)


def _find_runs(storage: Folder) -> Iterator[Item]:
    runs = storage / RUNS
    for name in runs.names():
        run = runs / name
        if not run.exists(IDENTITY):
            continue
        texts = [run.read_json(file) for file in (CONFIG, INPUTS) if run.exists(file)]
        names = {name, load_identity(run).name}
        item = _measure(storage, "runs", f"{RUNS}/{name}", names, _words_in(texts) - names)
        yield replace(item, refers_to_all_data=not run.exists(INPUTS))


def _find_by_file(storage: Folder, kind: Literal["searches", "repeats"], file: str) -> Iterator[Item]:
    for name in (storage / kind).names():
        if record_exists(storage / kind / name, file):
            yield _measure(storage, kind, f"{kind}/{name}", {name}, set())


def _find_data(storage: Folder) -> Iterator[Item]:
    data = storage / DATA
    for name in data.names():
        manifest = data.read_json(f"{name}/manifest.json") if data.exists(f"{name}/manifest.json") else {}
        if not isinstance(manifest, dict) or "splits" not in manifest:
            continue
        yield _measure(storage, "data", f"{DATA}/{name}", {name}, _words_in(manifest.get("stores", [])) - {name})


def _find_checkpoints(
    storage: Folder, judged: Sequence[Item], older_than_s: float, kinds: Collection[Kind]
) -> Iterator[Item]:
    """Find checkpoints of finished runs that stay; what their models are used for needs none of them."""
    for run in judged:
        folder = storage / run.name
        if run.kind != "runs" or not run.keeps or not folder.exists(FINAL) or not folder.names(CHECKPOINTS):
            continue
        item = _measure(storage, "checkpoints", f"{run.name}/{CHECKPOINTS}", set(), set())
        yield _judge(replace(item, age_s=run.age_s), storage, older_than_s, kinds)


def _measure(storage: Folder, kind: Kind, name: str, names: set[str], words: set[str]) -> Item:
    files = storage.files(name)
    newest = max((info.mtime_ns or 0 for info in files), default=0) / 1e9
    num_bytes = sum(info.size for info in files)
    return Item(kind, name, num_bytes, time.time() - newest, "", frozenset(names), frozenset(words))


def _words_in(content: Any) -> set[str]:
    """Return the parts of all texts in plain data: of `s3://b/runs/x/models/y` all names, of `x:latest` the run's.

    Of a path also those of the place that links in it lead to.
    """
    if isinstance(content, dict):
        return {word for value in content.values() for word in _words_in(value)}
    if isinstance(content, list):
        return {word for value in content for word in _words_in(value)}
    if not isinstance(content, str):
        return set()
    place = os.path.realpath(content) if content.startswith("/") else ""
    return set(re.split(r"[/:?]", f"{content}/{unquote(content)}/{place}"))


def _judge(item: Item, storage: Folder, older_than_s: float, kinds: Collection[Kind]) -> Item:
    if item.kind not in kinds:
        return replace(item, keeps="not asked for")
    if item.age_s < older_than_s:
        return replace(item, keeps="too young")
    owner = storage / item.name.removesuffix(f"/{CHECKPOINTS}")
    if storage.is_local and any(Path(path).is_symlink() for path in (owner.path, storage.full(item.name))):
        return replace(item, keeps="it is a link to another place")
    if item.kind not in WITHOUT_LOCK and (holder := find_holder(owner)):
        return replace(item, keeps=f"in use by process {holder['pid']} on {holder['host']}")
    return item


def _keep_referred(items: Sequence[Item]) -> list[Item]:
    """Keep what anything that stays refers to, and so on from there."""
    items = list(items)
    stays = [item for item in items if item.keeps]
    while stays:
        user = stays.pop()
        for place, item in enumerate(items):
            if not item.keeps and item is not user and _refers(user, item):
                items[place] = replace(item, keeps=f"{user.name} refers to it")
                stays.append(items[place])
    return items


def _refers(user: Item, item: Item) -> bool:
    if user.kind == "searches":
        return (
            item.kind == "runs" and item.name.rpartition("-")[0] == f"{RUNS}/{user.name.removeprefix(SEARCHES + '/')}"
        )
    if item.kind == "data" and user.refers_to_all_data:
        return True
    return not user.words.isdisjoint(item.names) and item.kind in (
        ("data",) if user.kind == "data" else ("runs", "data")
    )

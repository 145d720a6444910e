"""Writer of a prepared folder: makes the shards of a plan, and records which are complete."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data_pipelines.contract.config import Config
from data_pipelines.contract.pipeline import DataPipeline, DataSpec, LeftOut, Manifest, Split, StoreReference
from data_pipelines.prepared.making.raw_rows import read_pieces
from data_pipelines.prepared.making.shard_making import make_shards
from data_pipelines.prepared.making.shard_plan import (
    MadeShard,
    ShardTask,
    add_counts,
    group_tasks,
    join_shards,
    plan_shards,
)
from data_pipelines.prepared.making.shard_processes import freeze, make_in_processes
from data_pipelines.prepared.manifest import read_record, save_manifest, save_text
from data_pipelines.prepared.raw.copies import warn_of_copies
from data_pipelines.prepared.raw.file_counts import count_files
from data_pipelines.prepared.raw.raw_changes import stamp_of
from data_pipelines.prepared.shard_checks import has_hash, has_size
from data_pipelines.prepared.shard_files import choose_rows_per_shard, delete_shards
from data_pipelines.readers.bad_file import BadFileError, refuse_all
from data_pipelines.storage.folder import Folder

OnProgress = Callable[[int, int], None]
"""Called with the rows read and the rows in all: at the beginning, and whenever some have been read."""

WORTH_S = 20.0
"""Seconds that are left for one process, from which on several are started."""
SAVE_EVERY_S = 1.0
"""Least time between two writes of the record of an unfinished folder."""
_NAME = "partial.json"
_ADVICE = (
    "copy them again or remove them, or leave them out by `--set workload.data.on_bad_file=skip`, which counts and "
    "names them"
)
_log = logging.getLogger(__name__)


MakeElsewhere = Callable[[bytes, Folder, Sequence[ShardTask], DataSpec, Callable[[int], object]], Iterator[MadeShard]]
"""Makes shards on other machines: of a frozen pipeline, into a folder; the last argument is told of raw rows."""


class Unfinished(Config):
    """Record of the shards written so far; replaced by the manifest at the end."""

    rows_per_shard: int
    manifest: Manifest
    """Without the shards."""
    made: list[MadeShard] = []


def read_unfinished(folder: Folder) -> Unfinished | None:
    """Read the record of an interrupted call; None when there is none. Raises ValueError when it is damaged."""
    return read_record(folder, _NAME, Unfinished)


class ShardWriter:
    """Writer of the shards; the record on disk always lists the complete ones."""

    def __init__(
        self,
        pipeline: DataPipeline[Any],
        folder: Folder,
        *,
        rows_per_shard: int | None,
        num_processes: int | None,
        most_processes: int,
        make_elsewhere: MakeElsewhere | None,
        on_progress: OnProgress,
        stores: Sequence[StoreReference] = (),
    ) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self._stores = list(stores)
        self._num_processes, self._most_processes = num_processes, most_processes
        self._make_elsewhere = make_elsewhere
        self._on_progress = on_progress
        self.data_spec = pipeline.data_spec()
        self.num_raw_rows = pipeline.num_raw_rows()
        self._num_done, self._next_save = 0, 0.0
        self._count(0)  # the digest of the raw data, which follows, may take a while
        self.state = self._resume() or self._start(rows_per_shard)

    def run(self) -> Manifest:
        """Make all missing shards, then the manifest.

        Damaged files are left out if the settings say so. Otherwise a ValueError names all of them at the end.
        """
        self._save()
        plan = plan_shards(self.num_raw_rows, self.state.rows_per_shard)
        made = {each.place for each in self.state.made}
        missing = [task for task in plan if task.place not in made]
        self._count(sum(each.num_raw_rows for each in self.state.made))
        try:
            for each in self._make(missing):
                self.state.made.append(each)
                if time.monotonic() > self._next_save:
                    self._save()
        finally:
            self._save()
        manifest = self._join()
        warn_of_copies(self.pipeline.split_files())
        damaged = {each.file for each in manifest.all_left_out}
        manifest = manifest.model_copy(update={"files": count_files(self.pipeline, damaged)})
        save_manifest(self.folder, manifest)
        self.folder.delete(_NAME)
        return manifest

    def _count(self, num_rows: int) -> None:
        self._num_done += num_rows
        self._on_progress(self._num_done, sum(self.num_raw_rows.values()))

    def _make(self, tasks: Sequence[ShardTask]) -> Iterator[MadeShard]:
        """Make shards in this process, and from some time on in several, or on a cluster, if it pays."""
        if self._num_processes is not None and self._num_processes > 1 and tasks:
            frozen = freeze(self.pipeline)
            if frozen is None:
                raise ValueError(
                    f"{self.pipeline.source}: its rows cannot be read by other processes, as they come from no files "
                    "or the pipeline cannot be pickled; give --processes 1"
                )
            make = partial(make_in_processes, num_processes=self._num_processes)
            yield from make(frozen, self.folder, tasks, self.data_spec, self._count)
            return
        began, num_made = time.monotonic(), 0
        make = self._make_elsewhere or partial(make_in_processes, num_processes=self._most_processes)
        may_divide = self._num_processes is None and (self._most_processes > 1 or self._make_elsewhere is not None)
        for group in group_tasks(tasks, len(tasks)):
            for each in make_shards(self.pipeline, self.folder, group, self.data_spec, self._count):
                yield each
                num_made += 1
                left = tasks[num_made:]
                seconds_left = (time.monotonic() - began) / num_made * len(left)
                if not may_divide or len(left) < 2 or seconds_left <= WORTH_S:
                    continue
                frozen = freeze(self.pipeline)
                if frozen is not None:
                    yield from make(frozen, self.folder, left, self.data_spec, self._count)
                    return
                may_divide = False

    def _resume(self) -> Unfinished | None:
        state = read_unfinished(self.folder)
        if state is None:
            return None
        before = state.manifest
        if before.stores != self._stores:
            delete_shards(self.folder)
            return None
        if before.source_hash != self.pipeline.source_hash() or any(before.splits.values()):
            _log.warning("%s: the raw data have changed since the last call; all shards are written again", self.folder)
            delete_shards(self.folder)
            return None
        sizes = self.folder.sizes()
        return state.model_copy(update={"made": [each for each in state.made if self._is_good(each, sizes)]})

    def _is_good(self, made: MadeShard, sizes: Mapping[str, int]) -> bool:
        if made.left_out and self.pipeline.on_bad_file == "refuse":
            return False
        if made.shard is None:  # else a shard that was not written, as one of its files was refused
            return len(made.left_out) == made.num_raw_rows
        return has_size(sizes, made.shard) and has_hash(self.folder, made.shard)

    def _start(self, rows_per_shard: int | None) -> Unfinished:
        manifest = Manifest(
            pipeline=self.pipeline.key,
            source=self.pipeline.source,
            source_hash=self.pipeline.source_hash(),
            raw_stamp=stamp_of(self.pipeline),
            arrow_schema=str(self.pipeline.schema),
            decoded_bytes=dict.fromkeys(map(str, self.num_raw_rows), 0),
            data_spec=dict(self.data_spec),
            splits={split: [] for split in self.num_raw_rows},
            stores=self._stores,
        )
        return Unfinished(rows_per_shard=rows_per_shard or self._choose_rows_per_shard(), manifest=manifest)

    def _choose_rows_per_shard(self) -> int:
        faults: list[BadFileError] = []
        for split, num_rows in self.num_raw_rows.items():
            for rows in read_pieces(self.pipeline, split, 0, [1] * num_rows):
                faults += rows.faults
                if rows.tables:
                    return choose_rows_per_shard(1, self.pipeline.measure(rows.tables[0]))
        refuse_all(faults, _ADVICE)
        raise ValueError(f"{self.pipeline.source} has no rows at all")

    def _join(self) -> Manifest:
        """Return the manifest of all shards. Raises ValueError for damaged files that may not be left out."""
        by_split: dict[Split, list[MadeShard]] = {split: [] for split in self.num_raw_rows}
        for each in sorted(self.state.made, key=lambda each: each.index):
            by_split[each.split].append(each)
        left_out = {split: [fault for each in made for fault in each.left_out] for split, made in by_split.items()}
        if self.pipeline.on_bad_file == "refuse":
            _refuse([each for found in left_out.values() for each in found], _ADVICE)
        for split, made in by_split.items():
            if not any(each.shard for each in made):
                _refuse(left_out[split], f"no file of the split {split} can be read")
        counts = {split: add_counts([each.counts for each in made]) for split, made in by_split.items()}
        changes = {
            "splits": {split: join_shards(made) for split, made in by_split.items()},
            "decoded_bytes": {split: sum(each.decoded_bytes for each in made) for split, made in by_split.items()},
            "counts": {split: numbers for split, numbers in counts.items() if numbers},
            "left_out": {split: faults for split, faults in left_out.items() if faults},
        }
        if changes["left_out"]:  # for those who count the rows by the data spec, such as the card of a model
            num_left_out = {split: len(faults) for split, faults in changes["left_out"].items()}
            changes["data_spec"] = {**self.state.manifest.data_spec, "num_left_out": num_left_out}
        return self.state.manifest.model_copy(update=changes)

    def _save(self) -> None:
        """Write the record, which grows with the shards: so seldom that it takes a small part of the time."""
        began = time.monotonic()
        save_text(self.folder, _NAME, self.state.model_dump_json())
        ended = time.monotonic()
        self._next_save = ended + max(SAVE_EVERY_S, 20 * (ended - began))


def _refuse(left_out: Sequence[LeftOut], advice: str) -> None:
    refuse_all([BadFileError(Path(each.file), each.fault) for each in left_out], advice)

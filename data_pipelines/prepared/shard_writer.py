"""Writer of a prepared folder: adds shards one by one, and records which are complete."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from data_pipelines.contract.config import Config
from data_pipelines.contract.pipeline import Counts, DataPipeline, LeftOut, Manifest, Split
from data_pipelines.prepared.copies import warn_of_copies
from data_pipelines.prepared.file_counts import count_files
from data_pipelines.prepared.manifest import save_manifest, save_text
from data_pipelines.prepared.raw_rows import RawChunk, read_chunks
from data_pipelines.prepared.repair import has_hash, remake_shards
from data_pipelines.prepared.shard_files import choose_rows_per_shard, count_samples, shard_name, write_shard
from data_pipelines.readers.bad_file import BadFileError, printable, refuse_all

OnProgress = Callable[[int, int], None]
"""Called with the rows read and the rows in all: at the beginning, and whenever some have been read."""

_NAME = "partial.json"
_ADVICE = (
    "copy them again or remove them, or leave them out by `--set workload.data.on_bad_file=skip`, which counts and "
    "names them"
)
_log = logging.getLogger(__name__)


class Unfinished(Config):
    """Record of the shards written so far; replaced by the manifest at the end."""

    rows_per_shard: int
    manifest: Manifest


def read_unfinished(folder: Path) -> Unfinished | None:
    """Read the record of an interrupted call; None when there is none. Raises ValueError when it is damaged."""
    path = folder / _NAME
    if not path.is_file():
        return None
    try:
        return Unfinished.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path} is damaged; remove the folder {folder} and run prepare again ({error})") from error


def stamp_of(pipeline: DataPipeline[Any]) -> str:
    """Return a digest of the names, sizes and times of the raw files; empty when there are none at hand."""
    try:
        stats = [(file.name, file.stat()) for file in pipeline.raw_files()]
    except OSError:  # a file is gone, or the raw data are not on this machine
        return ""
    lines = [f"{name}\n{status.st_size}\n{status.st_mtime_ns}\n" for name, status in stats]
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest() if lines else ""


class ShardWriter:
    """Writer of the shards, one by one; the record on disk always lists the complete ones."""

    def __init__(
        self, pipeline: DataPipeline[Any], folder: Path, *, rows_per_shard: int | None, on_progress: OnProgress
    ) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self._on_progress = on_progress
        self.data_spec = pipeline.data_spec()
        self.num_raw_rows = pipeline.num_raw_rows()
        on_progress(0, sum(self.num_raw_rows.values()))  # the digest of the raw data, which follows, may take a while
        self.state = self._resume() or self._start(rows_per_shard)

    def run(self) -> Manifest:
        """Write all missing shards, then the manifest.

        Damaged files are left out if the settings say so. Otherwise the rest of the raw rows is read only to find all
        of them, and a ValueError names them.
        """
        self._save()
        faults: list[BadFileError] = []
        before, total = 0, sum(self.num_raw_rows.values())
        for split, num_rows in self.num_raw_rows.items():
            for chunk in self._missing_chunks(split, lambda row, before=before: self._on_progress(before + row, total)):
                if chunk.faults and self.pipeline.on_bad_file == "refuse":
                    faults += chunk.faults
                if not faults:
                    self._add(split, chunk)
            if not faults:
                self._check_count(split)
            before += num_rows
        refuse_all(faults, _ADVICE)
        warn_of_copies(self.pipeline.split_files())
        damaged = {fault.file for faults in self.state.manifest.left_out.values() for fault in faults}
        manifest = self.state.manifest.model_copy(update={"files": count_files(self.pipeline, damaged)})
        save_manifest(self.folder, manifest)
        (self.folder / _NAME).unlink()
        return manifest

    def _resume(self) -> Unfinished | None:
        state = read_unfinished(self.folder)
        if state is None:
            return None
        if state.manifest.source_hash != self.pipeline.source_hash():
            _log.warning("%s: the raw data have changed since the last call; all shards are written again", self.folder)
            _remove_shards(self.folder, state.manifest)
            return None
        manifest = remake_shards(self.pipeline, self.folder, state.manifest, is_good=has_hash)
        return state.model_copy(update={"manifest": manifest})

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
        )
        return Unfinished(rows_per_shard=rows_per_shard or self._choose_rows_per_shard(), manifest=manifest)

    def _choose_rows_per_shard(self) -> int:
        faults: list[BadFileError] = []
        for split in self.num_raw_rows:
            for chunk in read_chunks(self.pipeline, split, 0, 1):
                faults += chunk.faults
                if chunk.tables:
                    stored = chunk.tables[0].slice(0, 16)
                    return choose_rows_per_shard(stored.num_rows, self.pipeline.decode(stored))
        refuse_all(faults, _ADVICE)
        raise ValueError(f"{self.pipeline.source} has no rows at all")

    def _missing_chunks(self, split: Split, on_row: Callable[[int], object]) -> Iterator[RawChunk]:
        done = self.state.manifest.num_raw_rows(split)
        if done < self.num_raw_rows[split]:
            yield from read_chunks(self.pipeline, split, done, self.state.rows_per_shard, on_row)

    def _add(self, split: Split, chunk: RawChunk) -> None:
        if chunk.faults:
            self._note_left_out(split, chunk)
        if not chunk.tables:
            return
        manifest, table = self.state.manifest, pa.concat_tables(chunk.tables)
        path = self.folder / shard_name(split, len(manifest.splits[split]))
        self.pipeline.check(table, data_spec=self.data_spec, file=path, first_row=0)
        decoded = self.pipeline.decode(table)
        num_bytes = manifest.decoded_bytes[split] + decoded.nbytes
        shard = count_samples(write_shard(table, path), decoded.num_rows)
        shard = shard.model_copy(update={"num_left_out": len(chunk.faults)})
        changes = {
            "splits": {**manifest.splits, split: [*manifest.splits[split], shard]},
            "decoded_bytes": {**manifest.decoded_bytes, split: num_bytes},
            "counts": _add_counts(manifest.counts, split, self.pipeline.count(table)),
        }
        self.state = self.state.model_copy(update={"manifest": manifest.model_copy(update=changes)})
        self._save()

    def _note_left_out(self, split: Split, chunk: RawChunk) -> None:
        """Record damaged files; after the last row that can be read, they belong to the range of the last shard."""
        manifest = self.state.manifest
        shards = manifest.splits[split]
        if not chunk.tables and not shards:
            refuse_all(chunk.faults, f"no file of the split {split} can be read")
        if not chunk.tables:
            more = shards[-1].model_copy(update={"num_left_out": shards[-1].num_left_out + len(chunk.faults)})
            shards = [*shards[:-1], more]
        found = [LeftOut(file=printable(fault.file), fault=fault.fault) for fault in chunk.faults]
        changes = {
            "splits": {**manifest.splits, split: shards},
            "left_out": {**manifest.left_out, split: [*manifest.left_out.get(split, []), *found]},
        }
        self.state = self.state.model_copy(update={"manifest": manifest.model_copy(update=changes)})
        self._save()

    def _check_count(self, split: Split) -> None:
        written, expected = self.state.manifest.num_raw_rows(split), self.num_raw_rows[split]
        if written != expected:
            raise ValueError(f"{self.pipeline.source}: split {split} gave {written} rows, expected {expected}")

    def _save(self) -> None:
        save_text(self.folder / _NAME, self.state.model_dump_json())


def _add_counts(known: Mapping[str, Counts], split: Split, more: Counts) -> dict[str, Counts]:
    groups = dict(known.get(split, {}))
    for group, numbers in more.items():
        before = groups.get(group, {})
        groups[group] = {name: before.get(name, 0) + number for name, number in numbers.items()}
    return {**known, split: groups} if groups else dict(known)


def _remove_shards(folder: Path, manifest: Manifest) -> None:
    for shards in manifest.splits.values():
        for shard in shards:
            (folder / shard.name).unlink(missing_ok=True)

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
from data_pipelines.contract.pipeline import Counts, DataPipeline, Manifest, Split
from data_pipelines.prepared.manifest import save_manifest, save_text
from data_pipelines.prepared.rechunk import rebatch
from data_pipelines.prepared.repair import has_hash, remake_shards
from data_pipelines.prepared.shard_files import choose_rows_per_shard, count_samples, shard_name, write_shard

OnProgress = Callable[[int, int], None]
"""Called with the rows done and the rows in all, after each shard."""

_NAME = "partial.json"
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

    def __init__(self, pipeline: DataPipeline[Any], folder: Path, *, rows_per_shard: int | None) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self.data_spec = pipeline.data_spec()
        self.num_raw_rows = pipeline.num_raw_rows()
        self.state = self._resume() or self._start(rows_per_shard)

    def run(self, on_progress: OnProgress) -> Manifest:
        """Write all missing shards, then the manifest."""
        self._save()
        for split in self.num_raw_rows:
            for table in self._missing_tables(split):
                self._add(split, table)
                done = sum(self.state.manifest.num_rows(each) for each in self.num_raw_rows)
                on_progress(done, sum(self.num_raw_rows.values()))
            self._check_count(split)
        save_manifest(self.folder, self.state.manifest)
        (self.folder / _NAME).unlink()
        return self.state.manifest

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
        for split in self.num_raw_rows:
            for table in self.pipeline.read_raw(split, 0):
                if table.num_rows:
                    stored = table.slice(0, 16)
                    return choose_rows_per_shard(stored.num_rows, self.pipeline.decode(stored))
        raise ValueError(f"{self.pipeline.source} has no rows at all")

    def _missing_tables(self, split: Split) -> Iterator[pa.Table]:
        done = self.state.manifest.num_rows(split)
        if done < self.num_raw_rows[split]:
            yield from rebatch(self.pipeline.read_raw(split, done), self.state.rows_per_shard)

    def _add(self, split: Split, table: pa.Table) -> None:
        manifest = self.state.manifest
        path = self.folder / shard_name(split, len(manifest.splits[split]))
        self.pipeline.check(table, data_spec=self.data_spec, file=path, first_row=0)
        decoded = self.pipeline.decode(table)
        num_bytes = manifest.decoded_bytes[split] + decoded.nbytes
        shard = count_samples(write_shard(table, path), decoded.num_rows)
        changes = {
            "splits": {**manifest.splits, split: [*manifest.splits[split], shard]},
            "decoded_bytes": {**manifest.decoded_bytes, split: num_bytes},
            "counts": _add_counts(manifest.counts, split, self.pipeline.count(table)),
        }
        self.state = self.state.model_copy(update={"manifest": manifest.model_copy(update=changes)})
        self._save()

    def _check_count(self, split: Split) -> None:
        written, expected = self.state.manifest.num_rows(split), self.num_raw_rows[split]
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

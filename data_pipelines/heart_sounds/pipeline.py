"""Pipeline of phonocardiograms: recordings chosen from stored ones, decoded into heart cycles or windows."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_pipelines.contract.choosing import ChoosingPipeline, StoreRows
from data_pipelines.contract.config import OnBadFile
from data_pipelines.contract.pipeline import Counts, DataSpec, Split
from data_pipelines.contract.row_draws import NumpyDraws, TorchDraws
from data_pipelines.heart_sounds.bags import count_cycles, decode_bags, draw_cycles, take_cycles
from data_pipelines.heart_sounds.chosen_recordings import ChosenRecordings
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.recordings import UNLABELLED
from data_pipelines.heart_sounds.rows import (
    OWN_COLUMNS,
    STORED,
    count_bags,
    count_rows,
    count_samples,
    decode_rows,
    store_recording,
)
from data_pipelines.heart_sounds.sources import databases_of, hash_recordings, make_rows, split_by_subject
from data_pipelines.heart_sounds.store import RecordingStore
from data_pipelines.heart_sounds.tasks import TaskName
from data_pipelines.prepared.byte_columns import tensor_of
from data_pipelines.prepared.manifest import load_manifest, read_manifest
from data_pipelines.storage.folder import Folder

if TYPE_CHECKING:
    import torch

    HeartBatch = dict[str, torch.Tensor]

_RULES = 5
"""Version of the rules that turn recordings into rows; increased when a rule changes."""
PREPROCESSING = {"sample_rate", "band_hz", "unit", "num_samples", "window_s"}
"""Settings that a model must be used with as it was trained."""
_SHAPING = {"path", "circor", "physionet2016", "pascal", "folder", "labels", "prepared", "augmentation", "on_bad_file"}
"""Settings that do not change the rows, or that enter the digest in another way."""
_LATER = ("num_folds", "fold", "inaudible", "tests_all", "classes", "subgroups")
"""Settings that are no part of the digest where they are not given, so that data prepared before keep their key."""
_OF_CYCLES = ("signal", "duration_s")
"""Entries of a training batch of bags that each cycle has."""


class HeartPipeline(ChoosingPipeline["HeartBatch"]):
    """Pipeline of a task, with labels; without a task, the pipeline of pretraining.

    Pretraining has no labels, and augments each sample to two views. The recordings of each database are stored once;
    settings that choose among them, or cut them otherwise, choose from these.

    A sample is a cycle. With `cycles_per_bag` above 1 it is a recording, once in an epoch: a training batch has so many
    of its cycles, drawn anew each time, and the batch of an evaluation all of them.
    """

    own_columns = tuple(OWN_COLUMNS)

    def __init__(self, data: HeartData, task: TaskName | None) -> None:
        self.data: HeartData = data
        self.task: TaskName | None = task
        self.has_bags: bool = data.cycles_per_bag > 1
        self.collates_by_row = not self.has_bags
        self.aliases_rows = self.has_bags

    def __reduce__(self) -> tuple[Any, ...]:
        return HeartPipeline, (self.data, self.task)  # without the listing of the raw data

    @property
    def key(self) -> str:
        """`<task>-<digest>`; without the raw data, the key of the folder prepared before."""
        if not self._has_raw and self.prepared is not None:
            manifest = read_manifest(self.prepared)
            if manifest is not None and manifest.pipeline.startswith(f"{self._family}-"):
                return manifest.pipeline
        paths = {name: str(getattr(self.data, name, None)) for name in databases_of(self.data, self.task)}
        paths |= {"labels": str(self.data.labels)} if self.data.labels else {}
        unset = {name for name in _LATER if getattr(self.data, name) == HeartData.model_fields[name].default}
        settings = self.data.model_dump(mode="json", exclude=_SHAPING | unset | {"cycles_per_bag"})
        rules = [_RULES, "bags"] if self.has_bags else _RULES
        digest = hashlib.sha256(json.dumps([rules, paths, settings], sort_keys=True).encode())
        return f"{self._family}-{digest.hexdigest()[:8]}"

    @property
    def prepared(self) -> Folder | None:
        return Folder(self.data.prepared) if self.data.prepared else None

    @property
    def on_bad_file(self) -> OnBadFile:
        return self.data.on_bad_file

    @property
    def source(self) -> str:
        """The data sets with their paths."""
        words = {name: getattr(self.data, name, None) for name in databases_of(self.data, self.task)}
        return ", ".join(
            "synthetic phonocardiograms" if name == "synthetic" else f"{name} at {path}" for name, path in words.items()
        )

    @property
    def schema(self) -> pa.Schema:
        return STORED

    def data_spec(self) -> DataSpec:
        """Return shape, classes, and the subjects of every split by name; from the prepared folder without raw data."""
        prepared = self.prepared
        if not self._has_raw and prepared is not None and read_manifest(prepared) is not None:
            return load_manifest(prepared, self).data_spec
        return {
            "num_samples": self.data.num_samples,
            "preprocessing": self.data.model_dump(mode="json", include=PREPROCESSING),
            "class_names": list(self._classes),
            "databases": list(databases_of(self.data, self.task)),
            "subjects": split_by_subject(self.data, self.task, self._chosen.all),
            "num_recordings": {split: len(found) for split, found in self._chosen.splits.items()},
            "class_recordings": self._chosen.count_classes(),
            **self._chosen.name_numbers(),
        }

    def source_hash(self) -> str:
        return hash_recordings(self._chosen.all)

    def raw_files(self) -> Sequence[Path]:
        if not self._has_raw:
            return ()
        return list(dict.fromkeys(path for recording in self._chosen.all for path in recording.files))

    def raw_roots(self) -> Sequence[Path]:
        names = databases_of(self.data, self.task) if self._has_raw else ()
        return [getattr(self.data, name) for name in names if name != "synthetic"]

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        """Return the sound file of each recording, which is its first."""
        if not self._has_raw:
            return {}
        splits = self._chosen.splits.items()
        return {split: [each.files[0] for each in found if each.files] for split, found in splits}

    def used_files(self) -> Sequence[Path]:
        """Return the files of the recordings in the splits."""
        if not self._has_raw:
            return ()
        return self._chosen.used_files()

    def num_raw_rows(self) -> dict[Split, int]:
        return {split: len(recordings) for split, recordings in self._chosen.splits.items()}

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        for recording in self._chosen.splits[split][start_row:]:
            row = store_recording(recording, 0, self.data) | self._chosen.describe(recording, split)
            yield pa.table({name: [value] for name, value in row.items()}, schema=self.schema)

    def stores(self) -> Sequence[RecordingStore]:
        """Return a store for each database."""
        return self._chosen.stores if self._has_raw else ()

    def choose(self, split: Split, start_row: int, stores: Sequence[StoreRows]) -> Iterator[pa.Table]:
        """Yield a row for each recording of the split: where it is stored, its label, and its parts."""
        for values in self._chosen.choose(split, start_row, stores):
            yield pa.table({name: [values[name]] for name in self.choice_schema.names}, schema=self.choice_schema)

    def count_decoded(self, choice: pa.Table) -> np.ndarray:
        return count_bags(choice) if self.has_bags else count_samples(choice)

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path | str, first_row: int) -> None:
        """Raise ValueError unless labels number a class, and cycles lie inside their waveform."""
        num_classes = len(data_spec["class_names"])
        for number, row in enumerate(table.select(["label", "starts", "ends", "waveform"]).to_pylist(), first_row):
            if not (0 <= row["label"] < num_classes or (num_classes == 0 and row["label"] == UNLABELLED)):
                raise ValueError(f"{file}: row {number} has the label {row['label']}, expected 0..{num_classes - 1}")
            length = len(row["waveform"]) // 2
            bounds = zip(row["starts"], row["ends"], strict=True)
            if not all(0 <= start < end <= length for start, end in bounds):
                raise ValueError(f"{file}: row {number} has a cycle outside its {length} samples")

    def count(self, table: pa.Table) -> Counts:
        """Count recordings and cycles by class, in pretraining by data set."""
        if self.task is None:
            return count_rows(table, [self._chosen.all[number].database for number in table["recording"].to_pylist()])
        classes = self._classes
        return count_rows(table, [classes[label] for label in table["label"].to_pylist()])

    def decode(self, table: pa.Table) -> pa.Table:
        """Return a row for each cycle, or for each bag."""
        return decode_bags(table, self.data) if self.has_bags else decode_rows(table, self.data)

    def collate(self, table: pa.Table) -> "HeartBatch":
        """Return `signal` and the other columns of a batch, for each cycle.

        `signal` is float32 [batch, samples], `duration_s` float32, and `label`, `subject`, `patient`, `recording` and
        `is_good` are int64, [batch] each. All cycles of a bag are there, and `bag_share` is 1 over their number.
        """
        if not self.has_bags:
            return self._collate_cycles(table)
        import torch

        lengths = count_cycles(table)
        batch = self._collate_cycles(take_cycles(table, [np.arange(length) for length in lengths], self.data))
        return {**batch, "bag_share": torch.from_numpy(np.repeat(1 / lengths, lengths))}

    def collate_train(self, table: pa.Table, draws: NumpyDraws) -> "HeartBatch":
        """Return a batch of cycles, or of bags with some of their cycles.

        Of bags, `signal` is [batch, cycles, samples] and `duration_s` [batch, cycles]. `is_first`, bool of that shape,
        is false where a bag has so few cycles that one is there again.
        """
        if not self.has_bags:
            return self._collate_cycles(table)
        import torch

        lengths, size = count_cycles(table), self.data.cycles_per_bag
        drawn = draw_cycles(lengths, draws.uniform(size))
        batch = self._collate_cycles(take_cycles(table, list(drawn), self.data))
        found = {name: each.unflatten(0, drawn.shape) for name, each in batch.items()}
        once = {name: each if name in _OF_CYCLES else each[:, 0] for name, each in found.items()}
        return {**once, "is_first": torch.from_numpy(np.arange(size) < lengths[:, None])}

    def _collate_cycles(self, table: pa.Table) -> "HeartBatch":
        import torch

        scale = torch.from_numpy(table["scale"].to_numpy().copy())
        signal = tensor_of(table["signal"]).view(torch.int16).reshape(-1, self.data.num_samples).float()
        batch = {"signal": signal.mul_(scale[:, None])}
        for name in ("duration_s", "label", "subject", "patient", "recording", "is_good"):
            batch[name] = torch.from_numpy(table[name].to_numpy().copy())
        return batch

    def augment(self, batch: "HeartBatch", *, draws: TorchDraws) -> "HeartBatch":
        """Augment `signal`; in pretraining add a second view, augmented independently, as `other_signal`."""
        if self.has_bags:
            cycles = {name: batch[name].flatten(0, 1) for name in _OF_CYCLES}
            changed = self.change(cycles, draws.for_parts(self.data.cycles_per_bag))
            return {**batch, "signal": changed.view_as(batch["signal"])}
        changed = {**batch, "signal": self.change(batch, draws)}
        if self.task is None:
            changed["other_signal"] = self.change(batch, draws)
        return changed

    def change(self, batch: "HeartBatch", draws: TorchDraws) -> "torch.Tensor":
        """Augment each `signal` once.

        Its sample rate follows from `duration_s`, because all have the same number of values.
        """
        from data_pipelines.heart_sounds.augmentation import augment_cycles

        nyquist = batch["signal"].shape[1] / batch["duration_s"] / 2
        low, high = ((edge / nyquist).clamp(max=1) for edge in self.data.band_hz)
        return augment_cycles(batch["signal"], self.data.augmentation, band=(low, high), draws=draws)

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        """Return recordings of one synthetic cycle with cycling labels."""
        return make_rows(self.data, len(self._classes), num_rows, seed)

    @property
    def _classes(self) -> tuple[str, ...]:
        return self.data.describe_task(self.task).classes if self.task else ()

    @cached_property
    def _chosen(self) -> ChosenRecordings:
        return ChosenRecordings(self.data, self.task)

    @property
    def _family(self) -> str:
        return f"heart-{self.task or 'pretrain-' + '-'.join(databases_of(self.data, None))}"

    @property
    def _has_raw(self) -> bool:
        names = databases_of(self.data, self.task)
        paths = [getattr(self.data, name, None) for name in names if name != "synthetic"]
        paths += [self.data.labels] if self.data.labels else []
        return all(path is not None and path.exists() for path in paths)

"""Store of a database's recordings, which all tasks, splits and ways to cut them choose from."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from data_pipelines.contract.config import OnBadFile
from data_pipelines.contract.pipeline import DataPipeline, DataSpec, Split
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.heart_sounds.rows import RECORDED, read_recording
from data_pipelines.heart_sounds.sources import list_store
from data_pipelines.readers.bad_file import content_of

_RULES = 2
"""Version of the rules that turn recordings into rows; increased when a rule changes."""


class RecordingStore(DataPipeline[dict[str, Any]]):
    """Pipeline of all recordings of one database, in one split; labels and subjects are no part of its rows."""

    group_bytes = 16 * 1024

    def __init__(self, data: HeartData, name: str) -> None:
        """Describe the store of a database of `stores_of`; of the data its path, sample rate and pass band count."""
        self.data: HeartData = data
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordingStore, (self.data, self.name)  # without the listing of the raw data

    @property
    def key(self) -> str:
        """`heart-recordings-<database>-<digest>`."""
        made = self.data.synthetic.model_dump(mode="json") if self.name == "synthetic" else {}
        content = json.dumps([_RULES, str(self._path), self.data.sample_rate, self.data.band_hz, made])
        return f"heart-recordings-{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    @property
    def source(self) -> str:
        return f"recordings of {self.name}" + (f" at {self._path}" if self._path else "")

    @property
    def schema(self) -> pa.Schema:
        return RECORDED

    @property
    def on_bad_file(self) -> OnBadFile:
        return "skip"

    def data_spec(self) -> DataSpec:
        """Return sample rate and pass band."""
        return self.data.model_dump(mode="json", include={"sample_rate", "band_hz"})

    def source_hash(self) -> str:
        """Hash the places of the recordings, and the files of their sounds and states."""
        digest = hashlib.sha256()
        for recording in self.recordings:
            digest.update(os.fsencode(f"{recording.place}\n"))
            for file in recording.sound_files:
                digest.update(content_of(file))
        return digest.hexdigest()

    def raw_files(self) -> Sequence[Path]:
        return list(dict.fromkeys(file for recording in self.recordings for file in recording.sound_files))

    def raw_roots(self) -> Sequence[Path]:
        return [self._path] if self._path else ()

    def num_raw_rows(self) -> dict[Split, int]:
        return {"train": len(self.recordings)}

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        for recording in self.recordings[start_row:] if split == "train" else ():
            row = read_recording(recording, self.data)
            yield pa.table({name: [value] for name, value in row.items()}, schema=RECORDED)

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path | str, first_row: int) -> None:
        """Raise ValueError unless waveforms have their length."""
        for number, row in enumerate(table.select(["waveform", "num_values"]).to_pylist(), first_row):
            if len(row["waveform"]) != 2 * row["num_values"]:
                raise ValueError(f"{file}: row {number} has no waveform of {row['num_values']} values")

    def collate(self, table: pa.Table) -> NoReturn:
        raise NotImplementedError("batches are made of what a task chooses from the recordings")

    @cached_property
    def recordings(self) -> list[Recording]:
        """All recordings of the database, in the order of the rows."""
        return list_store(self.name, self.data)

    @property
    def _path(self) -> Path | None:
        if self.name == "synthetic":
            return None
        return getattr(self.data, self.name.partition("_")[0])

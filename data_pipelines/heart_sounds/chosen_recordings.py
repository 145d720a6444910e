"""Recordings that the settings choose: in which split, with what label and number, and where they are stored."""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.contract.choosing import ROW, STORE, StoreRows
from data_pipelines.contract.pipeline import Split
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.recordings import UNLABELLED, Recording
from data_pipelines.heart_sounds.rows import RECORDED, choose_parts
from data_pipelines.heart_sounds.sources import list_recordings, repetitions, split_recordings, stores_of
from data_pipelines.heart_sounds.store import RecordingStore
from data_pipelines.heart_sounds.tasks import TaskName


class ChosenRecordings:
    """Recordings of a task, or of pretraining; listed when first asked for."""

    def __init__(self, data: HeartData, task: TaskName | None) -> None:
        self._data: HeartData = data
        self._task: TaskName | None = task

    @cached_property
    def all(self) -> list[Recording]:
        """Those that have a label of the task, in any split or in none."""
        return list_recordings(self._data, self._task)

    @cached_property
    def splits(self) -> dict[Split, list[Recording]]:
        """Those of each split, in the order of its rows."""
        return split_recordings(self._data, self._task, self.all)

    @cached_property
    def stores(self) -> list[RecordingStore]:
        """Stores of the databases."""
        return [RecordingStore(self._data, name) for name in stores_of(self._data, self._task)]

    def used_files(self) -> Sequence[Path]:
        """Return the files of the recordings in the splits."""
        used = (path for recordings in self.splits.values() for recording in recordings for path in recording.files)
        return list(dict.fromkeys(used))

    def count_classes(self) -> dict[str, dict[str, int]]:
        """Count the recordings of each class in each split."""
        if self._task is None:
            return {}
        return {split: {name: words.count(name) for name in self._classes} for split, words in self._words.items()}

    def name_numbers(self) -> dict[str, Any]:
        """Return what the numbers of rows stand for: `recordings`, `patients`, and the patients' `outcomes`.

        `groups` has, by name, the value of each recording that its scores are told apart by, None where it is unknown.

        An outcome is that of CirCor's task of this name, by which the cost of murmur answers is counted; None where the
        data tell none.
        """
        outcome_of = {each.scored_as: each.labels.get("circor_outcome") for each in self.all}
        patients = list(self._numbers["patient"])
        return {
            "recordings": list(self._numbers["recording"]),
            "patients": list(patients),
            "outcomes": [outcome_of[name] for name in patients],
            "groups": self._groups,
        }

    def describe(self, recording: Recording, split: Split) -> dict[str, int]:
        """Return what the settings say of a recording, whatever its sound: label, numbers, repetitions."""
        word = self._word(recording, split)
        return {
            "repetitions": self._repetitions.get(word, 1) if split == "train" else 1,
            "label": self._classes.index(word) if self._task is not None else UNLABELLED,
            "subject": self._numbers["subject"][recording.subject],
            "patient": self._numbers["patient"][recording.scored_as],
            "recording": self._numbers["recording"][recording.place],
            "is_good": int(recording.is_good),
        }

    def choose(self, split: Split, start_row: int, stores: Sequence[StoreRows]) -> Iterator[dict[str, Any]]:
        """Yield the values of a choice for each recording of a split; see `ChoosingPipeline.choose`."""
        for recording in self.splits[split][start_row:]:
            number, raw_row = self._places[recording.place]
            store = stores[number]
            row = store.find("train", raw_row)
            known = {name: store.column(name)[row] for name in RECORDED.names if name not in ("waveform", "scale")}
            assert known["place"] == recording.place, f"{known['place']} is stored in the place of {recording.place}"
            parts = choose_parts(known, self._data, recording.name, partial(_read_waveform, store, row))
            yield {STORE: number, ROW: row, **parts, **self.describe(recording, split)}

    @property
    def _groups(self) -> dict[str, list[str | None]]:
        recordings = list({each.place: each for each in self.all}.values())
        names = sorted({name for each in recordings for name in each.groups})
        return {name: [each.groups.get(name) for each in recordings] for name in names}

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """Find the store of each recording, and its row there."""
        return {
            recording.place: (number, row)
            for number, store in enumerate(self.stores)
            for row, recording in enumerate(store.recordings)
        }

    @cached_property
    def _numbers(self) -> dict[str, dict[str, int]]:
        """Number subjects, patients and recordings in the order of the recordings."""
        names = {
            "subject": [each.subject for each in self.all],
            "patient": [each.scored_as for each in self.all],
            "recording": [each.place for each in self.all],
        }
        return {kind: {name: n for n, name in enumerate(dict.fromkeys(found))} for kind, found in names.items()}

    @property
    def _classes(self) -> tuple[str, ...]:
        return self._data.describe_task(self._task).classes if self._task is not None else ()

    def _word(self, recording: Recording, split: Split) -> str:
        """Return the class that a recording is trained or tested as; none in pretraining."""
        if self._task is None:
            return ""
        word = recording.labels[self._task]
        takes_heard = split == "train" and self._data.inaudible == "heard"
        return recording.heard.get(self._task, word) if takes_heard else word

    @property
    def _words(self) -> dict[Split, list[str]]:
        return {split: [self._word(each, split) for each in found] for split, found in self.splits.items()}

    @cached_property
    def _repetitions(self) -> dict[str, int]:
        if self._task is None or not self._data.balances_classes:
            return {}
        return repetitions(self._classes, self._words["train"])


def _read_waveform(store: StoreRows, row: int) -> bytes:
    return store.read(np.array([row]), ["waveform"])["waveform"][0].as_py()

"""Recordings of the data sets in the settings, split by subject."""

import hashlib
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import Split
from data_pipelines.heart_sounds.config import HeartData, Synthetic
from data_pipelines.heart_sounds.datasets.circor import read_circor
from data_pipelines.heart_sounds.datasets.pascal2011 import read_pascal
from data_pipelines.heart_sounds.datasets.physionet2016 import read_physionet2016
from data_pipelines.heart_sounds.datasets.sound_files import read_sound_files
from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound
from data_pipelines.heart_sounds.recordings import UNLABELLED, Recording
from data_pipelines.heart_sounds.rows import STORED, store_recording
from data_pipelines.heart_sounds.splits import (
    choose_few,
    split_each_database,
    split_fold,
    split_others,
    stratum_of_subjects,
)
from data_pipelines.heart_sounds.tasks import TaskName
from data_pipelines.readers.bad_file import content_of
from data_pipelines.readers.sound_file import Sound

_log = logging.getLogger(__name__)
REAL = ("circor", "physionet2016", "pascal", "folder")
REPETITIONS = 10
"""Most repetitions of a recording to balance the classes."""


def databases_of(data: HeartData, task: TaskName | None) -> tuple[str, ...]:
    """Return the data sets that are read: the task's, or all that have a path, or the synthetic one."""
    if task is not None:
        return (data.describe_task(task).database,)
    return tuple(name for name in REAL if getattr(data, name) is not None) or ("synthetic",)


def stores_of(data: HeartData, task: TaskName | None) -> tuple[str, ...]:
    """Return the databases as they are stored: those that are read, and of PASCAL each set by itself."""
    found: list[str] = []
    for name in databases_of(data, task):
        found += [f"pascal_{letter}" for letter in data.pascal_sets] if name == "pascal" else [name]
    return tuple(found)


def list_store(name: str, data: HeartData) -> list[Recording]:
    """List all recordings of a database of `stores_of` in a fixed order, with and without labels."""
    if name == "synthetic":
        return list_synthetic(data.synthetic)
    if name.startswith("pascal_"):
        data = data.model_copy(update={"pascal_sets": (name[-1],)})
    data = data.model_copy(update={"labels": None})  # they are no part of what is stored
    return _read_database(name.partition("_")[0], data, None)


def list_recordings(data: HeartData, task: TaskName | None) -> list[Recording]:
    """List recordings in a fixed order; only those that have a label of the task.

    Raises ValueError naming what is missing.
    """
    recordings = [each for name in databases_of(data, task) for each in _read_database(name, data, task)]
    if task is not None:
        recordings = [recording for recording in recordings if task in recording.labels]
    if not recordings:
        raise ValueError(f"there are no recordings{f' for {task}' if task else ''} in the data that the settings name")
    return recordings


def split_recordings(
    data: HeartData, task: TaskName | None, recordings: Sequence[Recording]
) -> dict[Split, list[Recording]]:
    """Return the recordings of each split in their order; no subject is in two of them.

    Raises ValueError when a split other than test is empty.
    """
    if task is not None:
        _warn_of_mixed_patients(task, recordings)
    subjects = split_by_subject(data, task, recordings)
    places: dict[str, Split] = {subject: split for split, names in subjects.items() for subject in names}
    found: dict[Split, list[Recording]] = {split: [] for split in subjects}
    for recording in recordings:
        split = places.get(recording.subject)
        if split is not None and (split != "train" or task is None or _is_trained_on(recording, data, task)):
            found[split].append(recording)
    for split, members in found.items():
        if not members and split != "test" and not data.tests_all:
            raise ValueError(f"the {split} split has no recordings; more subjects or another ratio are needed")
    return found


def _is_trained_on(recording: Recording, data: HeartData, task: TaskName) -> bool:
    is_inaudible = task in recording.heard and data.inaudible == "left_out"
    return not is_inaudible and (recording.is_good or data.uses_poor_quality)


def split_by_subject(data: HeartData, task: TaskName | None, recordings: Sequence[Recording]) -> dict[Split, list[str]]:
    """Return subjects by split, sorted. Raises ValueError when a held-out database is missing."""
    if task is None:
        return _split_for_pretraining(data, recordings)
    if data.tests_all:
        return {"train": [], "val": [], "test": sorted({recording.subject for recording in recordings})}
    shares: dict[Split, float] = {"train": 1 - data.val_ratio, "val": data.val_ratio}
    if data.held_out_database is not None:
        subjects = split_others(recordings, _held_out(data, recordings), shares, data.split_seed)
    elif data.fold is not None and data.num_folds is not None:
        subjects = split_fold(recordings, shares, fold=data.fold, num_folds=data.num_folds, seed=data.split_seed)
    else:
        ratios: dict[Split, float] = {"train": 1 - data.val_ratio - data.test_ratio}
        ratios |= {"val": data.val_ratio, "test": data.test_ratio}
        subjects = split_each_database(recordings, ratios, data.split_seed)
    strata = stratum_of_subjects(recordings)
    subjects["train"] = choose_few(subjects["train"], strata, data.shot_ratio, data.split_seed)
    return subjects


def repetitions(classes: Sequence[str], words: Sequence[str]) -> dict[str, int]:
    """Return how often a training recording of each class is repeated so that the classes weigh about the same."""
    counts = {name: words.count(name) for name in classes if name in words}
    return {name: min(round(max(counts.values()) / count), REPETITIONS) for name, count in counts.items()}


def hash_recordings(recordings: Sequence[Recording]) -> str:
    """Return the SHA-256 over names, labels and the bytes of the files."""
    digest, hashed = hashlib.sha256(), set[Path]()
    for recording in recordings:
        digest.update(os.fsencode(f"{recording.name}\n{recording.subject}\n{sorted(recording.labels.items())}\n"))
        for file in recording.files:
            if file not in hashed:  # a table is shared by many recordings
                digest.update(content_of(file))
                hashed.add(file)
    return digest.hexdigest()


def _warn_of_mixed_patients(task: TaskName, recordings: Sequence[Recording]) -> None:
    labels: dict[str, set[str]] = {}
    for recording in recordings:
        labels.setdefault(recording.scored_as, set()).add(recording.labels[task])
    mixed = sorted(patient for patient, found in labels.items() if len(found) > 1)
    if mixed:
        _log.warning(
            "people with recordings of several classes: %d, such as %s; scores by patient leave them out",
            *(len(mixed), mixed[0]),
        )


def _split_for_pretraining(data: HeartData, recordings: Sequence[Recording]) -> dict[Split, list[str]]:
    withheld: set[str] = set()
    for task in data.withheld_tasks:
        withheld |= set(split_by_subject(data, task, list_recordings(data, task))["test"])
    rest = [each for each in recordings if each.subject not in withheld]
    return split_each_database(rest, {"train": 1 - data.val_ratio, "val": data.val_ratio}, data.split_seed)


def _held_out(data: HeartData, recordings: Sequence[Recording]) -> set[str]:
    held_out = {each.subject for each in recordings if each.database == data.held_out_database}
    if not held_out:
        raise ValueError(f"held_out_database is {data.held_out_database!r}, of which there are no recordings")
    return held_out


def _read_database(name: str, data: HeartData, task: TaskName | None) -> list[Recording]:
    if name == "synthetic":
        if task is None and "synthetic" not in data.model_fields_set:
            settings = "` or `.".join(REAL)
            _log.warning("no recordings are named, so made-up ones are used; give `workload.data.%s`", settings)
        return list_synthetic(data.synthetic)
    path = getattr(data, name)
    if path is None:
        raise ValueError(f"the task {task} needs `workload.data.{name}`, the folder of its recordings")
    if name == "circor":
        return read_circor(path, task)
    if name == "physionet2016":
        return read_physionet2016(path, task)
    if name == "pascal":
        return read_pascal(path, task, data.pascal_sets)
    if task == "labelled" and data.labels is None:
        raise ValueError("the task labelled needs `workload.data.labels`, a CSV with the columns file, subject, label")
    return read_sound_files(path, data.labels, data.classes, data.subgroups)


def list_synthetic(settings: Synthetic) -> list[Recording]:
    """List the recordings of synthetic subjects; the share with a murmur is exact."""
    num_murmurs = max(round(settings.murmur_ratio * settings.num_subjects), 1)
    order = np.random.default_rng([settings.seed, 0]).permutation(settings.num_subjects)
    found = []
    for subject in range(settings.num_subjects):
        label = "murmur" if order[subject] < num_murmurs else "normal"
        for index in range(settings.recordings_per_subject):
            found.append(
                Recording(
                    name=f"synthetic-{subject:04d}-{index}",
                    subject=f"synthetic:{subject:04d}",
                    database="synthetic",
                    labels={"synthetic_murmur": label},
                    stratum=label,
                    read=partial(_make_sound, settings, subject, index, label == "murmur"),
                )
            )
    return found


def _make_sound(settings: Synthetic, subject: int, index: int, has_murmur: bool) -> Sound:
    person = np.random.default_rng([settings.seed, 1, subject])
    beats_per_min, loudness = person.uniform(55, 150), person.uniform(0.03, 0.15)
    generator = np.random.default_rng([settings.seed, 2, subject, index])
    made = generate_heart_sound(
        generator,
        duration_s=settings.duration_s,
        beats_per_min=beats_per_min * generator.uniform(0.95, 1.05),
        murmur=loudness if has_murmur else 0.0,
        snr_db=generator.uniform(0, 15),
    )
    return made.sound


def make_rows(data: HeartData, num_classes: int, num_rows: int, seed: int) -> pa.Table:
    """Return stored rows of synthetic recordings with one cycle each, with cycling labels."""
    changes = {"seed": seed, "num_subjects": max(num_rows, 6), "recordings_per_subject": 1, "duration_s": 4.0}
    recordings = list_synthetic(data.synthetic.model_copy(update=changes))[:num_rows]
    rows = [store_recording(recording, number, data) for number, recording in enumerate(recordings)]
    for number, row in enumerate(rows):
        row |= {"starts": row["starts"][:1], "ends": row["ends"][:1]}
        row |= {"label": number % num_classes if num_classes else UNLABELLED}
    return pa.Table.from_pylist(rows, schema=STORED)

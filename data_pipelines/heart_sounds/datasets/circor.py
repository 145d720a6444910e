"""CirCor DigiScope 2022 (public part): patients with text files or a table, wav files, and annotated states.

Known defects handled: folders nested twice, tables without Outcome, broken or missing state files, states that are
unsorted, repeated or outside the recording, and children recorded in both campaigns under two names.
"""

import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from data_pipelines.heart_sounds.datasets.circor_patients import Patient, clean_id, read_patients
from data_pipelines.heart_sounds.recordings import FileIndex, Recording, no_states
from data_pipelines.heart_sounds.signal.segmentation import States
from data_pipelines.heart_sounds.tasks import TASKS
from data_pipelines.readers.bad_file import few, printable
from data_pipelines.readers.csv_table import read_text
from data_pipelines.readers.sound_file import read_sound

_log = logging.getLogger(__name__)
_MURMURS = TASKS["circor_murmur"].classes
_OUTCOMES = TASKS["circor_outcome"].classes
NUM_STATES = 4
MENDED_S = 0.02
"""Longest overlap of two states that is taken for an inaccuracy; three recordings of CirCor have one of 1 to 12 ms."""


def read_circor(root: Path, task: str | None) -> list[Recording]:
    """List all recordings by patient. Raises ValueError when the folder is not CirCor or lacks the task's label."""
    files = FileIndex(root, (".wav", ".tsv", ".txt", ".csv"))
    patients = read_patients(files)
    _warn_of_differences(root, patients, files)
    if not patients:
        words = "holds no CirCor patients; expected <patient>.txt files or training_data.csv in it"
        raise ValueError(f"{printable(root)} {words}")
    others = {patient.name: clean_id(patient.fields.get("Additional ID", "")) or patient.name for patient in patients}
    children = DisjointSet([*others, *others.values()])
    for name, other in others.items():
        children.merge(name, other)
    return [
        recording
        for patient in patients
        for recording in _recordings_of(patient, min(children.subset(patient.name)), files, task)
    ]


def _warn_of_differences(root: Path, patients: Sequence[Patient], files: FileIndex) -> None:
    """Log patients without recordings, and recordings that no patient lists."""
    without = [patient.name for patient in patients if not patient.recordings]
    if without:
        _log.warning("%s: %d patients have no recordings there: %s", printable(root), len(without), few(without))
    listed = {wav.lower() for patient in patients for wav, _ in patient.recordings}
    surplus = [path.name for path in files.of_kind(".wav") if path.name.lower() not in listed]
    if patients and surplus:
        words = "%s: %d wav files are of no listed patient and left out: %s"
        _log.warning(words, printable(root), len(surplus), few(surplus))


def _recordings_of(patient: Patient, subject: str, files: FileIndex, task: str | None) -> list[Recording]:
    labels = _labels_of(patient, task)
    stratum = "/".join(labels.get(name, "?") for name in ("circor_murmur", "circor_outcome"))
    found = []
    for wav, tsv in patient.recordings:
        path = files.get(wav)
        if path is None:
            words = f"{printable(wav)} of patient {patient.name} is missing; copy it to the other recordings"
            raise ValueError(f"{printable(patient.file)}: {words}")
        states = files.get(tsv) if tsv else None
        found.append(
            Recording(
                name=printable(path.stem),
                subject=f"circor:{subject}",
                patient=f"circor:{patient.name}",
                database="circor",
                labels=labels,
                stratum=stratum,
                groups=_groups_of(patient, path.stem),
                heard=_heard_in(patient, path.stem),
                read=partial(read_sound, path),
                read_states=partial(read_states, states) if states else no_states,
                files=(path, patient.file, *([states] if states else [])),
                tables=(patient.file,),
            )
        )
    return found


def _groups_of(patient: Patient, recording: str) -> dict[str, str]:
    """Return place, age, sex and campaign; a name such as 13918_AV_2 tells the place."""
    found = {"place": _place_of(recording)}
    found |= {name.lower(): clean_id(patient.fields.get(name, "")) for name in ("Age", "Sex", "Campaign")}
    return {name: value for name, value in found.items() if value}


def _heard_in(patient: Patient, recording: str) -> dict[str, str]:
    """Return Absent for a recording of a patient with a murmur from a place where none was heard."""
    places = clean_id(patient.fields.get("Murmur locations", ""))
    is_heard = not places or _place_of(recording).lower() in places.lower().split("+")
    return {} if is_heard or patient.fields.get("Murmur") != "Present" else {"circor_murmur": "Absent"}


def _place_of(recording: str) -> str:
    words = recording.split("_")
    return words[1] if len(words) > 1 else ""


def _labels_of(patient: Patient, task: str | None) -> dict[str, str]:
    labels = {}
    for name, field, allowed in (("circor_murmur", "Murmur", _MURMURS), ("circor_outcome", "Outcome", _OUTCOMES)):
        value = patient.fields.get(field)
        if value in allowed:
            labels[name] = value
        elif task == name:
            words = f"patient {patient.name} has {field} {value!r}, expected one of {', '.join(allowed)}"
            raise ValueError(
                f"{printable(patient.file)}: {words}; old copies of CirCor lack Outcome, version 1.0.2 or newer has it"
            )
    return labels


def read_states(path: Path) -> States | None:
    """Read the usable rows of a state file in time order, each once; None, with a warning, when none can be used.

    A state that reaches into the next one by at most `MENDED_S` ends where that begins. A state above 4 shows that the
    file has another meaning, so the complete file is refused.
    """
    rows = set()
    for line in read_text(path).splitlines():
        row = _parse_state(line)
        if row is None or row[2] > NUM_STATES:
            _log.warning("%s: %r is no state; the recording is cut by its envelope instead", printable(path), line[:60])
            return None
        if row[1] > row[0]:
            rows.add(row)
    starts, ends, states = np.array(sorted(rows)).T if rows else np.empty((3, 0))
    overlap = float(np.max(ends[:-1] - starts[1:], initial=0.0))
    if overlap > MENDED_S:
        words = "%s: its states overlap by %.3g s; the recording is cut by its envelope instead"
        _log.warning(words, printable(path), overlap)
        return None
    ends[:-1] = np.minimum(ends[:-1], starts[1:])
    return States(starts, ends, states.astype(np.int64)) if len(starts) else None


def _parse_state(line: str) -> tuple[float, float, int] | None:
    words = line.split()
    try:
        start, end, state = float(words[0]), float(words[1]), int(float(words[2]))
    except (IndexError, ValueError, OverflowError):
        return None
    is_whole = len(words) == 3 and math.isfinite(start) and math.isfinite(end) and start >= 0 and state >= 0
    return (start, end, state) if is_whole else None

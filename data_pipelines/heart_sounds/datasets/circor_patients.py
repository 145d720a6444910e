"""Patients of CirCor by their text files, or by the table; what contradicts itself or the other is refused."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.heart_sounds.recordings import FileIndex
from data_pipelines.readers.bad_file import few, printable, refuse_unopenable
from data_pipelines.readers.csv_table import read_columns, read_text

_log = logging.getLogger(__name__)
_READ = ("Murmur", "Outcome", "Additional ID")
"""Fields that are used, so that two values of one are refused."""
_TOLD = ("Age", "Sex", "Campaign", "Murmur locations")
"""Fields that scores are told apart by, and the places where a murmur was heard."""


@dataclass(frozen=True)
class Patient:
    """Content of a patient's text file or table row."""

    name: str
    fields: Mapping[str, str]
    recordings: tuple[tuple[str, str | None], ...]
    """File names of each wav file and of its states."""
    file: Path
    """The text file or the table."""


def read_patients(files: FileIndex) -> list[Patient]:
    """Read the patients of all text files, or without one those of `training_data.csv`.

    Raises ValueError for a damaged file, a patient that is described twice, text files and table that contradict, and
    a recording of two patients.
    """
    told = [read_patient(path) for path in files.of_kind(".txt") if path.stem.isdigit()]
    rows = _read_table(files)
    _refuse_contradiction(told, rows)
    patients = told or rows
    _refuse_twice(patients)
    return patients


def read_patient(path: Path) -> Patient:
    """Read the text file of a patient. Raises ValueError for a file of another form."""
    refuse_unopenable(path)
    lines = read_text(path).splitlines()
    first = lines[0].split() if lines else []
    if len(first) < 2 or not first[1].isdigit() or len(lines) < 1 + int(first[1]):
        words = "the first line must be `<patient> <number of recordings> <rate>` before as many lines"
        raise ValueError(f"{printable(path)}: {words}")
    recordings = _parse_recordings(path, lines[1 : 1 + int(first[1])])
    return Patient(first[0], _parse_fields(path, lines), recordings, path)


def clean_id(value: str) -> str:
    """Return the patient's number without `.0`, as in `69096.0`; empty for nan."""
    value = (value or "").strip().removesuffix(".0")
    return "" if value.lower() in ("", "nan", "none") else value


def _parse_recordings(path: Path, lines: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
    """Return the wav file and states of each recording's line; a line that is repeated counts once."""
    found: dict[str, tuple[int, list[str]]] = {}
    for number, line in enumerate(lines, start=2):
        row = line.split()
        if len(row) < 3:
            raise ValueError(f"{printable(path)}: each recording's line must be `<location> <hea> <wav> <tsv>`")
        first, other = found.setdefault(row[2].lower(), (number, row))
        if [word.lower() for word in other] != [word.lower() for word in row]:
            words = f"lines {first} and {number} tell {row[2]} differently"
            raise ValueError(f"{printable(path)}: {words}; keep one of them")
    return tuple((row[2], row[3] if len(row) > 3 else None) for _, row in found.values())


def _parse_fields(path: Path, lines: Iterable[str]) -> dict[str, str]:
    """Return the values behind `#<field>:`. Raises ValueError when a field that is read has two."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line.startswith("#"):
            continue
        key, _, value = (part.strip() for part in line[1:].partition(":"))
        if fields.setdefault(key, value) != value and key in _READ:
            raise ValueError(f"{printable(path)}: {key} is {fields[key]!r} and {value!r}; keep one of them")
    return fields


def _read_table(files: FileIndex) -> list[Patient]:
    """Return the patient of each row of the table; a row that is repeated counts once."""
    path = files.get("training_data.csv")
    if path is None:
        return []
    wavs: dict[str, list[Path]] = {}
    for wav in files.of_kind(".wav"):
        wavs.setdefault(wav.name.partition("_")[0], []).append(wav)
    rows: dict[str, tuple[int, dict[str, str]]] = {}
    for number, cells in read_columns(path, "Patient ID", optional=(*_READ, *_TOLD)):
        row = {column: cell.strip() for column, cell in cells.items()}
        name = clean_id(row["Patient ID"])
        first, other = rows.setdefault(name, (number, row))
        if other | {"Patient ID": name} != row | {"Patient ID": name}:
            words = f"patient {name} stands there twice; keep one of them (lines {first} and {number})"
            raise ValueError(f"{printable(path)}: {words}")
    patients = [
        Patient(name, row, tuple((wav.name, f"{wav.stem}.tsv") for wav in wavs.get(name, ())), path)
        for name, (_, row) in rows.items()
    ]
    _warn_of_places(path, patients)
    return patients


def _warn_of_places(path: Path, patients: Sequence[Patient]) -> None:
    """Log the places of the table from which a patient who has recordings has none."""
    absent = []
    for patient in patients:
        listed = clean_id(patient.fields.get("Recording locations:", "")).upper().split("+")
        there = {Path(wav).stem.upper().split("_")[1] for wav, _ in patient.recordings if "_" in wav}
        absent += [f"{patient.name}_{place}" for place in dict.fromkeys(listed) if there and place not in {"", *there}]
    if absent:
        _log.warning("%s: %d recordings of its rows have no wav file: %s", printable(path), len(absent), few(absent))


def _refuse_contradiction(told: Sequence[Patient], rows: Sequence[Patient]) -> None:
    """Raise ValueError when a text file and the table give a patient another murmur or outcome; nan is no value."""
    by_name = {row.name: row for row in rows}
    for patient in told:
        row = by_name.get(patient.name, patient)
        for field in ("Murmur", "Outcome"):
            first, second = patient.fields.get(field, ""), row.fields.get(field, "")
            if clean_id(first) and clean_id(second) and first != second:
                words = f"{field} of patient {patient.name} is {first!r} in {printable(patient.file)}"
                raise ValueError(f"{words} and {second!r} in {printable(row.file)}; correct one of them")


def _refuse_twice(patients: Sequence[Patient]) -> None:
    """Raise ValueError for a patient that is described twice, or a wav file of two patients."""
    owners: dict[str, str] = {}
    seen: dict[str, Patient] = {}
    for patient in patients:
        if seen.setdefault(patient.name, patient) is not patient:
            places = " and ".join(printable(each.file) for each in (seen[patient.name], patient))
            raise ValueError(f"{places}: patient {patient.name} stands there twice; keep one of them")
        for wav, _ in patient.recordings:
            owner = owners.setdefault(wav.lower(), patient.name)
            if owner != patient.name:
                words = f"{printable(wav)} is of patient {owner} and of {patient.name}"
                raise ValueError(f"{printable(patient.file)}: {words}; keep one")

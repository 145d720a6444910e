"""Recordings to predict, each with its patient and the files beside it."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from data_pipelines.heart_sounds.datasets.circor_patients import Patient, read_patient
from data_pipelines.heart_sounds.datasets.file_table import match_files
from data_pipelines.heart_sounds.single_recordings import CIRCOR_NAME, COMPANION_SUFFIXES, find_companions
from data_pipelines.readers.bad_file import few, printable
from data_pipelines.readers.csv_table import read_text
from data_pipelines.readers.sound_file import SOUND_SUFFIXES
from data_pipelines.storage.folder import Folder
from trainables.contract.input_files import describe_input, find_input_files
from trainables.contract.prediction import Input

_log = logging.getLogger(__name__)


def find_recordings(source: Folder | None, patients: Path | None) -> list[Input]:
    """Return the sound files below a folder, or the one that `source` is, with their patients as `group`.

    `source` lies on any storage. Without `patients`, a table of files and subjects, a recording of CirCor is of the
    patient in its name, and any other one is a patient of its own.

    Raises:
        ValueError: There is none; or the patients are not clear.
    """
    inputs = find_input_files(source, SOUND_SUFFIXES, companions=COMPANION_SUFFIXES)
    folders: dict[str, _Surroundings] = {}
    found = []
    for item in inputs:
        assert item.root is not None
        place = str(PurePosixPath(item.name).parent)
        if place not in folders:
            folders[place] = _Surroundings(item.root, place)
        found.append(folders[place].complete(item))
    if patients is not None:
        return _take_table(found, patients)
    _refuse_scattered(found)
    return _name_others(found)


def describe_recordings(files: Sequence[Path]) -> list[Input]:
    """Return files on this machine's disk, each with its patient and the files beside it."""
    folders: dict[Path, _Surroundings] = {}
    found = []
    for file in files:
        parent = file.absolute().parent
        if parent not in folders:
            folders[parent] = _Surroundings(Folder(str(parent)), ".")
        item = folders[parent].complete(describe_input(Folder(str(parent)), file.name))
        found += _name_others([item])
    return found


class _Surroundings:
    """Files of one folder; patient files are read once."""

    def __init__(self, root: Folder, place: str) -> None:
        self._root, self._place = root, PurePosixPath(place)
        self._names = set(root.names(place))
        self._patients: dict[str, Patient | None] = {}

    def complete(self, item: Input) -> Input:
        """Add companions and the patient, which is empty where neither name nor patient file tells of one."""
        file = PurePosixPath(item.name).name
        match = CIRCOR_NAME.fullmatch(PurePosixPath(file).stem)
        number = re.match(r"(\d+)_", file)
        patient = self._patient(f"{number[1]}.txt") if number else None
        if patient is not None and file.lower() not in {wav.lower() for wav, _ in patient.recordings}:
            patient = None
        names = find_companions(file, self._names, patient)
        others = [describe_input(self._root, str(self._place / name)) for name in names]
        return replace(
            item,
            companions=names,
            group=patient.name if patient else match[1] if match else "",
            size=item.size + sum(other.size for other in others),
            modified_ns=item.modified_ns + sum(other.modified_ns for other in others),
        )

    def _patient(self, name: str) -> Patient | None:
        if name not in self._patients:
            self._patients[name] = self._read(name) if name in self._names else None
        return self._patients[name]

    def _read(self, name: str) -> Patient | None:
        with Input(str(self._place / name), self._root).open() as path:
            first = read_text(path).partition("\n")[0]
            if not re.fullmatch(r"\d+ \d+ \d+\s*", first):
                _log.warning("%s: is no patient file of CirCor and passed over (%r)", printable(path), first[:60])
                return None
            return read_patient(path)


def _name_others(inputs: Sequence[Input]) -> list[Input]:
    """Give every recording without a patient its own: its path, without the ending where that is unique."""
    stems = Counter(_stem(item) for item in inputs)
    return [
        item if item.group else replace(item, group=_stem(item) if stems[_stem(item)] == 1 else item.name)
        for item in inputs
    ]


def _stem(item: Input) -> str:
    return str(PurePosixPath(item.name).with_suffix(""))


def _refuse_scattered(inputs: Sequence[Input]) -> None:
    """Raise ValueError when several folders have recordings of the same patient's number."""
    places: dict[str, set[str]] = {}
    for item in inputs:
        if item.group:
            places.setdefault(item.group, set()).add(str(PurePosixPath(item.name).parent))
    for patient, folders in places.items():
        if len(folders) > 1:
            raise ValueError(
                f"recordings of patient {patient} lie in several folders ({few(sorted(folders))}), and may be of "
                "different people, or copies; give one folder, or name the patients by --patients TABLE.csv"
            )


def _take_table(inputs: Sequence[Input], path: Path) -> list[Input]:
    """Take the patients from a table; a changed table makes all recordings new."""
    subjects = read_subjects(path, [item.name for item in inputs])
    changed = path.stat().st_mtime_ns
    return [replace(item, group=subjects[item.name], modified_ns=item.modified_ns + changed) for item in inputs]


def read_subjects(path: Path, names: Collection[str]) -> dict[str, str]:
    """Read the subject of every recording from a table with the columns `file` and `subject`.

    A file is named by its path below the inputs' folder, or by its name alone if that is unique; rows of other files
    are counted in a warning.

    Raises:
        ValueError: A recording has no row, or two subjects; a row is ambiguous, or has no usable subject.
    """
    found = {name: row["subject"] for name, row in match_files(path, names, "subject").items()}
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{printable(path)}: has no row for {len(missing)} of {len(names)} recordings ({few(missing)}); "
            "write each file in the column `file` as it is named on disk"
        )
    return found

"""PhysioNet/CinC 2016: six databases of normal and abnormal recordings, with their subjects where known.

The `validation` folder holds copies of training records and is left out. Subjects come from the online appendix.
Without it each record counts as a subject of its own, with a warning, because people recorded several times may then be
in two splits.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from data_pipelines.heart_sounds.datasets.file_table import warn_of_some
from data_pipelines.heart_sounds.datasets.physionet2016_tables import (
    LABELS,
    Label,
    read_labels,
    read_originals,
    read_quality,
    record_key,
    refuse_contradiction,
)
from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.readers.bad_file import BadFileError, printable
from data_pipelines.readers.file_listing import find_file, list_files
from data_pipelines.readers.natural_order import is_hidden
from data_pipelines.readers.sound_file import Sound, read_sound
from data_pipelines.readers.wfdb_header import read_header, read_heart_sound, refuse_difference

_log = logging.getLogger(__name__)
_SUBJECT = {
    "a": re.compile(r"^C(\d+)S\d+", re.IGNORECASE),
    "b": re.compile(r"^S(\d+)f\d+", re.IGNORECASE),
    "c": re.compile(r"^id(\d+)", re.IGNORECASE),
}
"""The subject in the original record name; the rest of the name differs too much to be matched."""


def read_physionet2016(root: Path, task: str | None) -> list[Recording]:
    """List all records by database and name. Raises ValueError when there are none, or a label is missing or wrong."""
    databases = _find_wavs(root)
    if not databases:
        raise ValueError(f"{printable(root)} holds none of the folders training-a to training-f of PhysioNet/CinC 2016")
    appendix = _find_appendix(root)
    if appendix is None:
        words = "%s: the appendix with the subjects is missing; each record counts as a subject of its own"
        _log.warning(words, printable(root))
    records = {record_key(wav.stem) for wavs in databases.values() for wav in wavs}
    originals = read_originals(appendix, records) if appendix else {}
    found = [
        recording
        for database, wavs in sorted(databases.items())
        for recording in _read_database(database, wavs, originals)
    ]
    if appendix is None:
        return found
    return [replace(each, files=(*each.files, appendix), tables=(*each.tables, appendix)) for each in found]


def read_record(wav: Path, header: Path) -> Sound:
    """Read the wav file; by its header if that names several signals, one of which is the electrocardiogram.

    Raises BadFileError for a damaged file, and where the two contradict each other; the header may be missing.
    """
    if not header.exists():
        return read_sound(wav)
    stated = read_header(header)
    if len(stated.signals) > 1:
        return read_heart_sound(header)
    sound = read_sound(wav)
    if stated.signals:
        refuse_difference(header, stated, wav.name, sound)
    return sound


def _find_wavs(root: Path) -> dict[str, list[Path]]:
    """Return the recordings of each database, by name, from the least nested folder that holds some."""
    found: dict[str, list[Path]] = {}
    without: dict[str, Path] = {}
    linked = {path.parent for path in list_files(root, (".wav",)).files}  # which `rglob` does not follow
    below = {path for path in root.rglob("training-*") if not any(map(is_hidden, path.relative_to(root).parts))}
    for path in sorted({root, *below, *linked}, key=lambda path: (len(path.parts), path)):
        match = re.fullmatch(r"training-([a-f])", path.name)
        if match and match[1] not in found and path.is_dir():
            wavs = list_files(path, (".wav",), deep=False).files
            if wavs:
                found[match[1]] = sorted(wavs)
            else:
                without.setdefault(match[1], path)
    for database, path in sorted(without.items()):
        if database not in found:
            _log.warning("%s: has no wav file; database %s is left out", printable(path), database)
    return found


def _read_database(database: str, wavs: Sequence[Path], originals: Mapping[str, str]) -> Iterator[Recording]:
    folder = wavs[0].parent
    records = _by_key(wavs)
    tables = tuple(find_file(folder, name) for name in ("REFERENCE.csv", "REFERENCE-SQI.csv"))
    labels = read_labels(tables[0])
    quality = read_quality(tables[1], labels, records)
    warn_of_some(folder, labels.keys() - records.keys(), len(labels), "records have no wav file there")
    for key, wav in records.items():
        header = wav.with_suffix(".hea")
        label = _label_of(wav, header, labels.get(key))
        name = printable(wav.stem)
        yield Recording(
            name=name,
            subject=f"physionet2016:{database}:{_subject_of(database, originals.get(key), name)}",
            database=database,
            labels={"physionet2016": label},
            stratum=f"{database}/{label}",
            groups={"database": database},
            read=partial(read_record, wav, header),
            is_good=quality.get(key, True),
            files=(wav, *((header,) if header.exists() else ()), *(table for table in tables if table)),
            tables=tuple(table for table in tables if table),
        )


def _by_key(wavs: Sequence[Path]) -> dict[str, Path]:
    """Return the files by the key of their names. Raises ValueError when two have the same."""
    found: dict[str, Path] = {}
    for wav in wavs:
        other = found.setdefault(record_key(wav.stem), wav)
        if other != wav:
            raise ValueError(f"{printable(other)} and {printable(wav.name)} are the same record; keep one of them")
    return found


def _label_of(wav: Path, header: Path, told: Label | None) -> str:
    """Return the label of the table, or else of the header. Raises ValueError for none, and when they differ."""
    try:
        said = _label_of_header(header)
    except BadFileError:
        if told is None:
            raise
        said = None  # reading the record refuses its header
    refuse_contradiction(printable(wav.stem), told, said)
    label = told or said
    if label is None:
        expected = f"expected {printable(wav.stem)} with 1 or -1 in {printable(wav.parent / 'REFERENCE.csv')}"
        raise ValueError(f"{printable(wav)}: has no label; {expected}")
    return label.word


def _label_of_header(path: Path) -> Label | None:
    comments = read_header(path).comments if path.is_file() else ()
    found = {comment.lower() for comment in comments} & set(LABELS.values())
    return Label(found.pop(), printable(path)) if len(found) == 1 else None


def _find_appendix(root: Path) -> Path | None:
    tables = list_files(root, (".csv",)).files
    found = [path for path in tables if "appendix" in path.name.lower() and "training" in path.name.lower()]
    return min(found, key=lambda path: (len(path.parts), path), default=None)


def _subject_of(database: str, original: str | None, record: str) -> str:
    if not original:
        return record
    if database == "e":
        return original
    pattern = _SUBJECT.get(database)
    match = pattern.match(original) if pattern else None
    return match[1] if match else record

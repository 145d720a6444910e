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

from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.readers.bad_file import few
from data_pipelines.readers.csv_table import read_rows
from data_pipelines.readers.file_listing import find_file, list_files
from data_pipelines.readers.sound_file import Sound, read_sound
from data_pipelines.readers.wfdb_header import read_header, read_heart_sound

_log = logging.getLogger(__name__)
_LABELS = {"1": "abnormal", "-1": "normal"}
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
        raise ValueError(f"{root} holds none of the folders training-a to training-f of PhysioNet/CinC 2016")
    appendix = _find_appendix(root)
    if appendix is None:
        _log.warning("%s: the appendix with the subjects is missing; each record counts as a subject of its own", root)
    originals = _read_appendix(appendix) if appendix else {}
    found = [
        recording
        for database, wavs in sorted(databases.items())
        for recording in _read_database(database, wavs, originals)
    ]
    return [replace(each, files=(*each.files, appendix)) for each in found] if appendix else found


def _find_wavs(root: Path) -> dict[str, list[Path]]:
    """Return the recordings of each database, by name, from the least nested folder that holds some."""
    found: dict[str, list[Path]] = {}
    without: dict[str, Path] = {}
    for path in sorted([root, *root.rglob("training-*")], key=lambda path: (len(path.parts), path)):
        match = re.fullmatch(r"training-([a-f])", path.name)
        if match and match[1] not in found and path.is_dir():
            wavs = list_files(path, (".wav",), deep=False).files
            if wavs:
                found[match[1]] = sorted(wavs)
            else:
                without.setdefault(match[1], path)
    for database, path in sorted(without.items()):
        if database not in found:
            _log.warning("%s: has no wav file; database %s is left out", path, database)
    return found


def _read_database(database: str, wavs: Sequence[Path], originals: Mapping[str, str]) -> Iterator[Recording]:
    folder = wavs[0].parent
    tables = tuple(find_file(folder, name) for name in ("REFERENCE.csv", "REFERENCE-SQI.csv"))
    labels, quality = _read_table(tables[0]), _read_quality(tables[1])
    absent = sorted(set(labels) - {wav.stem for wav in wavs})
    if absent:
        _log.warning("%s: %d of %d records have no wav file there: %s", folder, len(absent), len(labels), few(absent))
    for wav in wavs:
        header = wav.with_suffix(".hea")
        label = labels.get(wav.stem) or _label_of_header(header)
        if label is None or label not in _LABELS.values():
            raise ValueError(f"{wav}: has no label; expected {wav.stem} with 1 or -1 in {folder / 'REFERENCE.csv'}")
        yield Recording(
            name=wav.stem,
            subject=f"physionet2016:{database}:{_subject_of(database, originals.get(wav.stem), wav.stem)}",
            database=database,
            labels={"physionet2016": label},
            stratum=f"{database}/{label}",
            read=partial(_read_sound, wav, header),
            is_good=quality.get(wav.stem, True),
            files=(wav, *((header,) if header.exists() else ()), *(table for table in tables if table)),
        )


def _read_sound(wav: Path, header: Path) -> Sound:
    """Read the wav file; by its header if that names several signals, one of which is the electrocardiogram."""
    if header.exists() and len(read_header(header).signals) > 1:
        return read_heart_sound(header)
    return read_sound(wav)


def _read_table(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, row in read_rows(path):
        if len(row) < 2 or row[1].strip() not in _LABELS:
            raise ValueError(f"{path}: line {number} is {','.join(row)!r}, expected <record>,1 or <record>,-1")
        label = _LABELS[row[1].strip()]
        if labels.setdefault(row[0].strip(), label) != label:
            first = f"line {lines[row[0].strip()]} calls {row[0].strip()} {labels[row[0].strip()]}"
            raise ValueError(f"{path}: {first}, and line {number} {label}; keep one of them")
        lines.setdefault(row[0].strip(), number)
    return labels


def _read_quality(path: Path | None) -> dict[str, bool]:
    if path is None:
        return {}
    quality: dict[str, bool] = {}
    for number, row in read_rows(path):
        if len(row) < 3 or row[2].strip() not in ("0", "1"):
            raise ValueError(f"{path}: line {number} is {','.join(row)!r}, expected <record>,<label>,<quality 0 or 1>")
        record, is_good = row[0].strip(), row[2].strip() == "1"
        if quality.setdefault(record, is_good) != is_good:
            raise ValueError(f"{path}: line {number} gives {record} a second quality, {row[2].strip()}; keep one")
    return quality


def _label_of_header(path: Path) -> str | None:
    comments = read_header(path).comments if path.is_file() else ()
    found = {comment.lower() for comment in comments} & set(_LABELS.values())
    return found.pop() if len(found) == 1 else None


def _find_appendix(root: Path) -> Path | None:
    tables = list_files(root, (".csv",)).files
    found = [path for path in tables if "appendix" in path.name.lower() and "training" in path.name.lower()]
    return min(found, key=lambda path: (len(path.parts), path), default=None)


def _read_appendix(path: Path) -> dict[str, str]:
    """Read the original record name (of database e: the raw record's subject) by the challenge's record name."""
    rows = read_rows(path, has_breaks=True)
    heads = [index for index, (_, row) in enumerate(rows) if any("challenge record" in cell.lower() for cell in row)]
    if not heads:
        raise ValueError(f"{path}: has no column `Challenge record name`")
    columns = [cell.strip().lower() for cell in rows[heads[0]][1]]
    name, original = _column(columns, "challenge record"), _column(columns, "original record")
    raw = _column(columns, "raw record")
    found: dict[str, str] = {}
    for number, row in rows[heads[0] + 1 :]:
        cells = [cell.strip() for cell in row] + [""] * len(columns)
        if name is None or original is None or not cells[name]:
            continue
        is_raw = cells[name].startswith("e") and raw is not None
        subject = _raw_subject(cells[original], cells[raw]) if is_raw and raw is not None else cells[original]
        if found.setdefault(cells[name], subject) != subject:
            raise ValueError(
                f"{path}: line {number} gives {cells[name]} a second original, {subject} beside {found[cells[name]]}; "
                "keep one of them"
            )
    return found


def _raw_subject(original: str, raw: str) -> str:
    """Return a subject's name with its cohort: the same number means two people in the two cohorts of database e.

    Names of one cohort begin with e, those of the other with a digit.
    """
    if not raw or raw.lower() == "nan":
        return ""
    return f"{'e' if original.lower().startswith('e') else 'n'}{raw.removesuffix('.0')}"


def _column(columns: list[str], words: str) -> int | None:
    return next((index for index, column in enumerate(columns) if words in column), None)


def _subject_of(database: str, original: str | None, record: str) -> str:
    if not original:
        return record
    if database == "e":
        return original
    pattern = _SUBJECT.get(database)
    match = pattern.match(original) if pattern else None
    return match[1] if match else record

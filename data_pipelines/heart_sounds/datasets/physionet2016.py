"""PhysioNet/CinC 2016: six databases of normal and abnormal recordings, with their subjects where known.

The `validation` folder holds copies of training records and is left out. Subjects come from the online appendix.
Without it each record counts as a subject of its own, with a warning, because people recorded several times may then be
in two splits.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.readers.bad_file import few
from data_pipelines.readers.csv_table import read_rows
from data_pipelines.readers.file_listing import list_files
from data_pipelines.readers.wav_file import Sound, read_wav
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
    originals = _read_appendix(root)
    if originals is None:
        _log.warning("%s: the appendix with the subjects is missing; each record counts as a subject of its own", root)
    return [
        recording
        for database, wavs in sorted(databases.items())
        for recording in _read_database(database, wavs, originals or {})
    ]


def _find_wavs(root: Path) -> dict[str, list[Path]]:
    """Return the recordings of each database, by name, from the least nested folder that holds some."""
    found: dict[str, list[Path]] = {}
    for path in sorted([root, *root.rglob("training-*")], key=lambda path: len(path.parts)):
        match = re.fullmatch(r"training-([a-f])", path.name)
        if match and match[1] not in found and path.is_dir():
            wavs = list_files(path, (".wav",), deep=False).files
            if wavs:
                found[match[1]] = sorted(wavs)
    return found


def _read_database(database: str, wavs: Sequence[Path], originals: Mapping[str, str]) -> Iterator[Recording]:
    folder = wavs[0].parent
    labels, quality = _read_table(folder / "REFERENCE.csv"), _read_quality(folder)
    absent = sorted(set(labels) - {wav.stem for wav in wavs})
    if absent:
        _log.warning("%s: %d of %d records have no wav file there: %s", folder, len(absent), len(labels), few(absent))
    tables = tuple(path for path in (folder / "REFERENCE.csv", folder / "REFERENCE-SQI.csv") if path.is_file())
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
            files=(wav, *((header,) if header.exists() else ()), *tables),
        )


def _read_sound(wav: Path, header: Path) -> Sound:
    """Read the wav file; by its header if that names several signals, one of which is the electrocardiogram."""
    if header.exists() and len(read_header(header).signals) > 1:
        return read_heart_sound(header)
    return read_wav(wav)


def _read_table(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    labels = {}
    for number, row in read_rows(path):
        if len(row) < 2 or row[1].strip() not in _LABELS:
            raise ValueError(f"{path}: line {number} is {','.join(row)!r}, expected <record>,1 or <record>,-1")
        label = _LABELS[row[1].strip()]
        if labels.setdefault(row[0].strip(), label) != label:
            raise ValueError(f"{path}: line {number} gives {row[0].strip()} a second label, {label}; keep one of them")
    return labels


def _read_quality(folder: Path) -> dict[str, bool]:
    path = folder / "REFERENCE-SQI.csv"
    if not path.is_file():
        return {}
    quality = {}
    for number, row in read_rows(path):
        if len(row) < 3 or row[2].strip() not in ("0", "1"):
            raise ValueError(f"{path}: line {number} is {','.join(row)!r}, expected <record>,<label>,<quality 0 or 1>")
        quality[row[0].strip()] = row[2].strip() == "1"
    return quality


def _label_of_header(path: Path) -> str | None:
    comments = read_header(path).comments if path.exists() else ()
    found = {comment.lower() for comment in comments} & set(_LABELS.values())
    return found.pop() if len(found) == 1 else None


def _read_appendix(root: Path) -> dict[str, str] | None:
    """Read the original record name (of database e: the raw record's subject) by the challenge's record name."""
    paths = [path for path in sorted(root.rglob("*.csv")) if "appendix" in path.name.lower()]
    paths = [path for path in paths if "training" in path.name.lower()]
    if not paths:
        return None
    rows = [row for _, row in read_rows(paths[0])]
    heads = [index for index, row in enumerate(rows) if any("challenge record" in cell.lower() for cell in row)]
    if not heads:
        raise ValueError(f"{paths[0]}: has no column `Challenge record name`")
    columns = [cell.strip().lower() for cell in rows[heads[0]]]
    name, original = _column(columns, "challenge record"), _column(columns, "original record")
    raw = _column(columns, "raw record")
    found: dict[str, str] = {}
    for row in rows[heads[0] + 1 :]:
        cells = [cell.strip() for cell in row] + [""] * len(columns)
        if name is None or original is None or not cells[name]:
            continue
        is_raw = cells[name].startswith("e") and raw is not None
        found[cells[name]] = (
            _raw_subject(cells[original], cells[raw]) if is_raw and raw is not None else cells[original]
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

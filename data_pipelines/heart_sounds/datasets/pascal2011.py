"""PASCAL 2011 ("Classifying Heart Sounds"): set A from telephones, set B from a digital stethoscope.

The tables name files as they were called before the archives were unpacked; both names are converted to one key. Copies
of the same files in class folders (`Heartbeat_Sound`) are left out.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.readers.bad_file import few, printable
from data_pipelines.readers.csv_table import read_columns
from data_pipelines.readers.file_listing import find_file, list_files
from data_pipelines.readers.sound_file import read_sound

_log = logging.getLogger(__name__)
CLASSES = {"normal": "normal", "murmur": "murmur", "extrastole": "extrasystole", "extrasystole": "extrasystole"}
"""Classes of the task by the table's word; extra heart sounds and artifacts are other phenomena and have none."""
KNOWN = (*CLASSES, "extrahls", "artifact", "")


def join_key(name: str) -> str:
    """Return the key shared by a file and its row in the table."""
    stem = re.sub(r"\.wav$", "", Path(name.strip()).name, flags=re.IGNORECASE).replace("Btraining_", "")
    stem = re.sub(r"_+", "_", stem)
    return f"Aunlabelledtest{stem}" if stem.startswith("_") else stem


def read_pascal(root: Path, task: str | None, sets: tuple[str, ...]) -> list[Recording]:
    """List the recordings of the named sets, by name.

    `root` holds `set_a` and `set_b`. Of a task only recordings with its label are listed; without one also unlabelled
    ones, extra sounds and artifacts.

    Raises:
        ValueError: A set is missing, or has a row of an unknown class or without a file.
    """
    found = [recording for name in sets for recording in _read_set(root, name)]
    return [each for each in found if task is None or task in each.labels]


def _read_set(root: Path, name: str) -> Iterator[Recording]:
    folders = [path for path in (root / f"set_{name}", root) if path.name == f"set_{name}" and path.is_dir()]
    places = (find_file(folder, f"set_{name}.csv") for folder in (root, root.parent))
    tables = [path for path in places if path is not None]
    if not folders or not tables:
        lacking = f"lacks the folder set_{name} or the table set_{name}.csv of PASCAL 2011"
        advice = "copy both there, or choose the other set (`--set workload.data.pascal_sets=[a]` or `[b]`)"
        raise ValueError(f"{printable(root)} {lacking}; {advice}")
    files: dict[str, Path] = {}
    for path in sorted(list_files(folders[0], (".wav",), deep=False).files):
        other = files.setdefault(join_key(path.name), path)
        if other != path:
            names = f"{printable(other)} and {printable(path.name)}"
            raise ValueError(f"{names} belong to the same row of {printable(tables[0])}; keep one of them")
    labels = _read_table(tables[0])
    absent = sorted(set(labels) - set(files))
    labelled = [key for key in absent if labels[key] in CLASSES]
    if labelled:
        words = f"{len(labelled)} rows have no file in {printable(folders[0])}: {few(labelled)}"
        raise ValueError(f"{printable(tables[0])}: {words}")
    if absent:
        words = "%s: %d rows without a class of the task have no file in %s: %s"
        _log.warning(words, printable(tables[0]), len(absent), printable(folders[0]), few(absent))
    surplus = sorted(set(files) - set(labels))
    if surplus:
        words = "%s: %d files have no row in %s: %s"
        _log.warning(words, printable(folders[0]), len(surplus), tables[0].name, few(surplus))
    for key in sorted(files):
        yield _recording(name, key, files[key], labels.get(key, ""), tables[0])


def _read_table(path: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, row in read_columns(path, "fname", "label"):
        label = row["label"].strip().lower()
        if label not in KNOWN:
            raise ValueError(
                f"{printable(path)}: line {number} has the class {label!r}, expected {', '.join(filter(None, KNOWN))}"
            )
        key = join_key(row["fname"])
        if labels.setdefault(key, label) != label:
            first = f"line {lines[key]} gives {key} the class {labels[key] or '(none)'}"
            raise ValueError(f"{printable(path)}: {first}, and line {number} {label or '(none)'}; keep one of them")
        lines.setdefault(key, number)
    return labels


def _recording(name: str, key: str, path: Path, word: str, table: Path) -> Recording:
    match = re.search(r"_(\d+)_\d+_[A-F]\d*$", key)
    subject = match[1] if name == "b" and match else key
    subject, key = printable(subject), printable(key)
    labels: Mapping[str, str] = {"pascal": CLASSES[word]} if word in CLASSES else {}
    return Recording(
        name=f"{name}/{key}",
        subject=f"pascal:{name}:{subject}",
        database=f"pascal_{name}",
        labels=labels,
        stratum=f"{name}/{labels.get('pascal', '?')}",
        read=partial(read_sound, path),
        files=(path, table),
        tables=(table,),
    )

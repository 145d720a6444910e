"""Any folder of sound files, and a table of their subjects and labels."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from data_pipelines.heart_sounds.datasets.file_table import match_files, warn_of_some
from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.readers.bad_file import printable
from data_pipelines.readers.file_listing import list_files, warn_left_out
from data_pipelines.readers.sound_file import SOUND_SUFFIXES, read_sound


def read_sound_files(
    root: Path, labels: Path | None, classes: Sequence[str], subgroups: Sequence[str] = ()
) -> list[Recording]:
    """List all sound files at any depth, by path.

    Files without a row in the table `labels`, which has the columns file, subject and label, have no label and are, as
    all are without a table, subjects of their own. It may hold the labels `classes`. Its further columns `subgroups`,
    such as sex, are the groups of a recording; an empty cell is unknown.

    Raises:
        ValueError: There is no sound file; or the table names another class, a file twice with different words, or none
            of the files.
    """
    listing = list_files(root, SOUND_SUFFIXES)
    if not listing.files:
        raise ValueError(f"{root} holds no sound files ({', '.join(SOUND_SUFFIXES)}) at any depth")
    warn_left_out(root, [listing])
    files = {printable(path.relative_to(root)): path for path in listing.files}
    stems = Counter(name.rpartition(".")[0] for name in files)
    rows = _read_table(labels, files, classes, subgroups) if labels is not None else {}
    found = []
    for name in sorted(files):
        recording = Recording(
            name=name.rpartition(".")[0] if stems[name.rpartition(".")[0]] == 1 else name,
            subject=f"folder:{name}",
            database="folder",
            labels={},
            stratum="folder",
            read=partial(read_sound, files[name]),
            files=(files[name],),
        )
        row = rows.get(name)
        if labels is not None and row is not None:
            groups = {column: row[column] for column in subgroups if row[column]}
            recording = replace(_labelled(recording, row, labels), groups=groups)
        found.append(recording)
    return found


def _labelled(recording: Recording, row: Mapping[str, str], table: Path) -> Recording:
    return replace(
        recording,
        subject=f"folder:{row['subject']}",
        labels={"labelled": row["label"]},
        stratum=row["label"],
        files=(*recording.files, table),
        tables=(table,),
    )


def _read_table(
    path: Path, names: Collection[str], classes: Sequence[str], subgroups: Sequence[str]
) -> dict[str, dict[str, str]]:
    rows = match_files(path, names, "subject", "label", may_be_empty=subgroups)
    for name, row in rows.items():
        if row["label"] not in classes:
            words = f"{name} has the label {row['label']!r}, and `workload.data.classes` are {', '.join(classes)}"
            raise ValueError(f"{printable(path)}: {words}; add it there, or correct the row")
    if not rows:
        raise ValueError(f"{printable(path)}: names none of the {len(names)} sound files, such as {min(names)}")
    words = "files have no row there, and are not used by the task"
    warn_of_some(path, set(names) - rows.keys(), len(names), words)
    return rows

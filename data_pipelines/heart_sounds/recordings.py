"""Recordings of heart sounds in a fixed order, each with its subject and label; the sound is read on demand."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_pipelines.heart_sounds.signal.segmentation import States
from data_pipelines.readers.bad_file import few, printable
from data_pipelines.readers.file_listing import list_files
from data_pipelines.readers.sound_file import Sound

_log = logging.getLogger(__name__)
UNLABELLED = -1


def no_states() -> None:
    """Return no annotated states."""


@dataclass(frozen=True)
class Recording:
    """One recording on disk; its sound is read on demand."""

    name: str
    """Unique in its database."""
    subject: str
    """Prefixed by the database's name, so that it is unique; recordings of one child share it. Splits are by
    subject."""
    database: str
    labels: Mapping[str, str]
    """Class name by task; a task without a label is absent."""
    stratum: str
    """Splits keep the shares of the strata."""
    read: Callable[[], Sound]
    """Raises ValueError naming the file."""
    read_states: Callable[[], States | None] = no_states
    """Annotated states, None without usable ones."""
    patient: str = ""
    """The patient that the challenge scores, if different from the subject."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """What its scores are told apart by, such as its place or its patient's sex; what is unknown is absent."""
    heard: Mapping[str, str] = field(default_factory=dict)
    """By task, the class of what is heard in this recording, if that differs from its patient's."""
    is_good: bool = True
    """False when the data set marks the quality as poor."""
    files: tuple[Path, ...] = ()
    """Files that the content hash covers."""
    tables: tuple[Path, ...] = ()
    """Those of them that tell labels, subjects or quality, and nothing of the sound."""

    @property
    def place(self) -> str:
        """The database and the name, which no other recording has."""
        return f"{self.database}/{self.name}"

    @property
    def sound_files(self) -> tuple[Path, ...]:
        """Files that the sound or its states are read from."""
        return tuple(file for file in self.files if file not in self.tables)

    @property
    def scored_as(self) -> str:
        """The patient that the challenge scores."""
        return self.patient or self.subject


class FileIndex:
    """Files below a folder by their name, in any case of letters; of equal names, the least nested one."""

    def __init__(self, root: Path, suffixes: Collection[str]) -> None:
        """List the files with these endings. Raises ValueError when `root` is no folder."""
        self._files: dict[str, Path] = {}
        again = []
        for path in sorted(list_files(root, suffixes).files, key=lambda path: (len(path.parts), path)):
            if self._files.setdefault(path.name.lower(), path) != path:
                again.append(path)
        if again:
            _log.warning(
                "%s: %d files have the name of another one, which lies less deep or comes first; they are left out: %s",
                *(printable(root), len(again), few(again)),
            )

    def get(self, name: str) -> Path | None:
        """Return the file of this name."""
        return self._files.get(name.lower())

    def of_kind(self, suffix: str) -> list[Path]:
        """Return the files with this ending, by name."""
        return [self._files[name] for name in sorted(self._files) if name.endswith(suffix)]

"""Recordings of heart sounds in a fixed order, each with its subject and label; the sound is read on demand."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.heart_sounds.signal.segmentation import States
from data_pipelines.readers.wav_file import Sound

UNLABELLED = -1


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
    read_states: Callable[[], States | None] = lambda: None
    """Annotated states, None without usable ones."""
    patient: str = ""
    """The patient that the challenge scores, if different from the subject."""
    is_good: bool = True
    """False when the data set marks the quality as poor."""
    files: tuple[Path, ...] = ()
    """Files that the content hash covers."""

    @property
    def scored_as(self) -> str:
        """The patient that the challenge scores."""
        return self.patient or self.subject


class Groups:
    """Groups of names that mean the same child (union-find)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def join(self, first: str, second: str) -> None:
        """Join the groups of both names."""
        roots = sorted((self.find(first), self.find(second)))
        self._parents[roots[1]] = roots[0]

    def find(self, name: str) -> str:
        """Return the smallest name of the group."""
        while (parent := self._parents.get(name, name)) != name:
            name = parent
        return name


def index_files(root: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Return files below `root` by name, in any folder; of equal names, the least nested file."""
    wanted = set(suffixes)
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*"), key=lambda path: (len(path.parts), path)):
        if path.suffix.lower() in wanted and not path.name.startswith("."):
            found.setdefault(path.name, path)
    return found

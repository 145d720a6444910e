"""What a reader of heart sounds gives: recordings in a fixed order, each with its subject and label, not yet read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.heart_sounds.signal.segmentation import States
from data_pipelines.readers.wav_file import Sound

UNLABELLED = -1


@dataclass(frozen=True)
class Recording:
    """One recording on disk; reading it is left for later."""

    name: str
    """Unique in its database."""
    subject: str
    """With the database's name, so that it is unique among all of them; recordings of one child share it. Splits are by
    subject."""
    database: str
    labels: Mapping[str, str]
    """Class name by task; a task that is absent has no label here."""
    stratum: str
    """Splits keep the shares of the strata."""
    read: Callable[[], Sound]
    """Raises ValueError naming the file."""
    read_states: Callable[[], States | None] = lambda: None
    """Annotated states, None without usable ones."""
    patient: str = ""
    """Whom the challenge scores, when that is not the subject."""
    is_good: bool = True
    """False when the data set marks the quality as poor."""
    files: tuple[Path, ...] = ()
    """What its content hash covers."""

    @property
    def scored_as(self) -> str:
        """Whose recording it is for the challenge."""
        return self.patient or self.subject


class Groups:
    """Names joined into groups: the same child may have been recorded under several."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def join(self, first: str, second: str) -> None:
        """Both names, and all joined to them, are one from now on."""
        roots = sorted((self.find(first), self.find(second)))
        self._parents[roots[1]] = roots[0]

    def find(self, name: str) -> str:
        """The smallest name of the group."""
        while (parent := self._parents.get(name, name)) != name:
            name = parent
        return name


def index_files(root: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Files below `root` by name, in whatever folder: archives nest them differently; the least nested one counts."""
    wanted = set(suffixes)
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*"), key=lambda path: (len(path.parts), path)):
        if path.suffix.lower() in wanted and not path.name.startswith("."):
            found.setdefault(path.name, path)
    return found

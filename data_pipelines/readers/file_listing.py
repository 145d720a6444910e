"""The one rule by which all sources list the files of a folder.

Files are taken by their ending, in any case of letters. Hidden files and folders (`.x`, `._x`) and `__MACOSX` are
passed over. Links are followed, to files and folders, wherever they lead; each real file is taken once, by its own name
rather than by a link's. A link to nowhere is taken, so that reading it says what it is. What is not taken is counted by
reason.
"""

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_pipelines.readers.bad_file import printable
from data_pipelines.readers.natural_order import natural_key

HIDDEN = "hidden"
AGAIN = "the same file as another one"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileListing:
    """Files of a folder, and those that were left out."""

    files: list[Path]
    """In natural order, folder by folder."""
    left_out: dict[str, list[Path]] = field(default_factory=dict)
    """By reason."""


def list_files(folder: Path, suffixes: Collection[str], *, deep: bool = True) -> FileListing:
    """List the files of a folder, at any depth or (`deep=False`) its own alone.

    Args:
        folder: The folder.
        suffixes: Endings in small letters, for example `.png`.
        deep: Whether folders inside are listed too.

    Raises:
        ValueError: `folder` is no folder, or may not be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder" if folder.exists() else f"{folder} does not exist")
    left_out: dict[str, list[Path]] = {}
    taken: list[Path] = []
    for path in _walk(folder, left_out, deep=deep):
        ending = path.suffix.lower()
        if ending in suffixes:
            taken.append(path)
        else:
            left_out.setdefault(f"ending {ending or '(none)'}", []).append(path)
    firsts: dict[object, Path] = {}
    for path in sorted(taken, key=lambda path: _is_reached_by_link(path, folder)):
        firsts.setdefault(identity_of(path), path)
    chosen = set(firsts.values())
    again = [path for path in taken if path not in chosen]
    if again:
        left_out[AGAIN] = again
    return FileListing([path for path in taken if path in chosen], left_out)


def identity_of(path: Path) -> object:
    """Return what two names of the same file on disk have in common; the path itself for a link to nowhere."""
    try:
        status = path.stat()
    except OSError:
        return str(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def refuse_shared(train: Collection[Path], held_out: Collection[Path]) -> None:
    """Raise ValueError when a training file is, by another name, also a file for validation or testing."""
    known = {identity_of(path): path for path in train}
    for path in held_out:
        other = known.get(identity_of(path))
        if other is not None:
            raise ValueError(f"{path} and {other} are one file, but one is for training and the other is not; keep one")


def warn_left_out(root: Path, listings: Sequence[FileListing]) -> None:
    """Log how many files below `root` were left out, by reason; hidden ones are not worth a word."""
    counts: dict[str, int] = {}
    for listing in listings:
        for reason, paths in listing.left_out.items():
            counts[reason] = counts.get(reason, 0) + len(paths)
    counts.pop(HIDDEN, None)
    again = counts.pop(AGAIN, 0)
    if again:
        _log.warning("%s: %d files are the same as another one by a link; each is used once", printable(root), again)
    if counts:
        words = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))
        _log.warning("%s: %d files are left out (%s)", printable(root), sum(counts.values()), words)


def is_hidden(name: str) -> bool:
    """Return whether files and folders of this name are passed over."""
    return name.startswith(".") or name == "__MACOSX"


def _walk(folder: Path, left_out: dict[str, list[Path]], *, deep: bool) -> Iterator[Path]:
    """Yield files; real folders before links to folders, so that a link never takes the place of a folder itself."""
    visited: set[str] = set()
    pending: list[tuple[Path, tuple[object, ...]]] = [(folder, ())]
    found: list[tuple[tuple[object, ...], Path]] = []
    links: list[tuple[Path, tuple[object, ...]]] = []
    while pending or links:
        here, order = pending.pop() if pending else links.pop(0)
        real = os.path.realpath(here)
        if real in visited:
            continue
        visited.add(real)
        for entry in os.scandir(here):
            path, key = here / entry.name, (*order, natural_key(Path(entry.name)))
            if is_hidden(entry.name):
                left_out.setdefault(HIDDEN, []).append(path)
            elif not entry.is_dir():
                found.append((key, path))
            elif deep:
                (links if entry.is_symlink() else pending).append((path, key))
        links.sort(key=lambda link: link[1])
    yield from (path for _, path in sorted(found, key=lambda item: item[0]))


def _is_reached_by_link(path: Path, root: Path) -> bool:
    return os.path.realpath(path) != os.path.join(os.path.realpath(root), path.relative_to(root))

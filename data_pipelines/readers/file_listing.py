"""The one rule by which all sources list the files of a folder.

Files are taken by their ending, in any case of letters. Hidden files and folders (`.x`, `._x`) and those of systems
(`__MACOSX`, `Thumbs.db`, `@eaDir`) are passed over. Links are followed, to files and folders, wherever they lead; each
real file is taken once, by its own name rather than by a link's. A link to nowhere is taken, so that reading it says
what it is. What is not taken is counted by reason.
"""

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from data_pipelines.readers.bad_file import printable
from data_pipelines.readers.natural_order import is_hidden, naming_folder, natural_key

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


def list_files(folder: Path, suffixes: Collection[str] | None, *, deep: bool = True) -> FileListing:
    """List the files of a folder, at any depth or (`deep=False`) its own alone.

    Args:
        folder: The folder.
        suffixes: Endings in small letters, for example `.png`; None takes all.
        deep: Whether folders inside are listed too.

    Raises:
        ValueError: `folder` is no folder, or it or one inside cannot be listed.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder" if folder.exists() else f"{folder} does not exist")
    left_out: dict[str, list[Path]] = {}
    taken: list[_Found] = []
    for found in _walk(folder, left_out, deep=deep):
        ending = found.path.suffix.lower()
        if suffixes is None or ending in suffixes:
            taken.append(found)
        else:
            left_out.setdefault(f"ending {ending or '(none)'}", []).append(found.path)
    firsts: dict[object, int] = {}
    for number in sorted(range(len(taken)), key=lambda number: taken[number].is_linked):
        firsts.setdefault(identity_of(taken[number].path), number)
    chosen = set(firsts.values())
    again = [found.path for number, found in enumerate(taken) if number not in chosen]
    if again:
        left_out[AGAIN] = again
    return FileListing([found.path for number, found in enumerate(taken) if number in chosen], left_out)


def find_file(folder: Path, name: str) -> Path | None:
    """Return the file of a folder with this name, in any case of letters; the exact one first; None without one.

    Raises ValueError when several names differ by case alone.
    """
    if (folder / name).is_file() or not folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    found = sorted(path for path in folder.iterdir() if path.name.lower() == name.lower() and path.is_file())
    if len(found) > 1:
        raise ValueError(f"{folder} holds {found[0].name} and {found[1].name}; keep one, and call it {name}")
    return found[0] if found else None


def find_folder(folder: Path, name: str) -> Path:
    """Return the folder of this name inside a folder, in any case of letters; the exact name when there is none."""
    found = sorted(folder.iterdir()) if folder.is_dir() and not (folder / name).is_dir() else []
    return next((path for path in found if path.name.lower() == name.lower() and path.is_dir()), folder / name)


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


def refuse_same_files(files: Sequence[Path]) -> None:
    """Raise ValueError when two of the files are one by a link."""
    known: dict[object, Path] = {}
    for path in files:
        other = known.setdefault(identity_of(path), path)
        if other != path:
            raise ValueError(f"{printable(other)} and {printable(path)} are one file; put each in its place")


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


class _Found(NamedTuple):
    """A file or folder below the listed folder."""

    order: tuple[object, ...]
    """Natural order of its folders and its name."""
    path: Path
    is_linked: bool
    """Whether it is a link, or lies in a folder that was reached by one."""


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, which reading it says
        return False


def _walk(root: Path, left_out: dict[str, list[Path]], *, deep: bool) -> list[_Found]:
    """Find all files; real folders before links to folders, so that a link never takes the place of a folder itself."""
    visited: set[str] = set()
    folders, links, files = [_Found((), root, False)], [], []
    while folders or links:
        if not folders:
            links.sort(key=lambda link: link.order)
            folders.append(links.pop(0))
        folder = folders.pop()
        real = os.path.realpath(folder.path)
        if real in visited:
            continue
        visited.add(real)
        with naming_folder(folder.path):
            entries = list(os.scandir(folder.path))
        for entry in entries:
            is_linked = folder.is_linked or entry.is_symlink()
            found = _Found((*folder.order, natural_key(Path(entry.name))), folder.path / entry.name, is_linked)
            if is_hidden(entry.name):
                left_out.setdefault(HIDDEN, []).append(found.path)
            elif not is_folder(entry):
                files.append(found)
            elif deep:
                (links if entry.is_symlink() else folders).append(found)
    return sorted(files, key=lambda found: found.order)

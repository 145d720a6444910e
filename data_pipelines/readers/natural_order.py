"""Natural order of file names: `image2` before `image10`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OF_SYSTEMS = (
    "__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
    "@eadir", "#recycle", "@recycle", "@tmp", "lost+found",
)  # fmt: skip
"""Names in small letters by which macOS, Windows, network storage (small pictures of each picture) and Linux keep
files and folders of their own among the user's."""


def visible_entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in natural order, without hidden ones. Raises ValueError for none that opens."""
    with naming_folder(folder):
        return sorted((path for path in folder.iterdir() if not is_hidden(path.name)), key=natural_key)


@contextmanager
def naming_folder(folder: Path) -> Iterator[None]:
    """Raise ValueError in place of an OSError inside the block: the folder cannot be listed."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{folder}: cannot be listed ({error.strerror}); allow it to be read, or remove it") from error


def is_hidden(name: str) -> bool:
    """Return whether files and folders of this name are passed over."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def natural_key(path: Path) -> tuple[str, str]:
    """Return a sort key of a file's name, see `text_key`."""
    return text_key(path.name)


def text_key(text: str) -> tuple[str, str]:
    """Return a sort key with `image2` before `image10`; the full text decides between equals such as `1` and `01`.

    Each number becomes its count of digits and then its digits, so that two names are compared as two texts: comparing
    lists of parts costs more than all else where there are many files. A number comes after letters, and a shorter text
    before a longer one, as a text is closed by the least character before its next number.
    """
    return re.sub(r"[0-9]+", _to_ordered, text.lower()), text


def _to_ordered(match: re.Match[str]) -> str:
    digits = match[0].lstrip("0")
    return f"{'' if match.start() == 0 else chr(0)}{chr(0x10FFFF)}{chr(len(digits))}{digits}"

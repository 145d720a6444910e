"""Natural order of file names: `image2` before `image10`."""

import re
from pathlib import Path


def visible_entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in natural order, without hidden ones."""
    return sorted((path for path in folder.iterdir() if not is_hidden(path.name)), key=natural_key)


def is_hidden(name: str) -> bool:
    """Return whether files and folders of this name are passed over."""
    return name.startswith(".") or name == "__MACOSX"


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key of a file's name, see `text_key`."""
    return text_key(path.name)


def text_key(text: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key with `image2` before `image10`; the full text decides between equals such as `1` and `01`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(int(part), "") if part[0] in "0123456789" else (-1, part.lower()) for part in parts], text

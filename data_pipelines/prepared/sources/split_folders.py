"""Folders that divide raw data into splits by their names."""

import logging
from collections.abc import Collection
from pathlib import Path

from data_pipelines.contract.pipeline import SPLITS, Split
from data_pipelines.readers.bad_file import few, printable
from data_pipelines.readers.file_listing import identity_of, list_files

_log = logging.getLogger(__name__)
_SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip


def find_split_folders(root: Path) -> dict[Split, Path]:
    """Return the folders of the splits inside a folder: train, val (also valid, validation) and test, in any case.

    Raises ValueError when two names mean one split.
    """
    found: dict[Split, Path] = {}
    entries = sorted(root.iterdir()) if root.is_dir() else []
    for path in entries:
        split = _SPLIT_NAMES.get(path.name.lower())
        if split is None or not path.is_dir():
            continue
        if split in found:
            raise ValueError(f"{root} holds {found[split].name} and {path.name}, which both mean {split}; keep one")
        found[split] = path
    return {split: found[split] for split in SPLITS if split in found}


def warn_of_strays(root: Path, files: Collection[Path], suffixes: Collection[str]) -> None:
    """Log how many files of these kinds lie below `root` and are none of `files`."""
    known = {identity_of(path) for path in files}
    strays = [path for path in list_files(root, suffixes).files if identity_of(path) not in known]
    if strays:
        names = few(printable(path.relative_to(root)) for path in strays)
        _log.warning(
            "%s: %d files outside of the splits' folders are left out: %s", printable(root), len(strays), names
        )

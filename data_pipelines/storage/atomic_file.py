"""Local files and folders that are replaced completely or not at all, whenever the process or the machine stops."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp-"
"""Prefix of files and folders that are still being written; they are never read."""


def temporary_path(target: Path) -> Path:
    """Return a new name beside `target`, under which it is written first."""
    return target.with_name(f"{TEMPORARY}{target.name}-{uuid.uuid4().hex[:8]}")


@contextmanager
def replace_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a stream; when the block ends well, its content is on the disk and the file has its name."""
    temporary = temporary_path(target)
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_folder(target: Path) -> Path:
    """Make a new folder beside `target`, and its parents."""
    target.parent.mkdir(parents=True, exist_ok=True)
    filling = temporary_path(target)
    filling.mkdir()
    return filling


def put_in_place(filling: Path, target: Path) -> None:
    """Rename a folder, which replaces an earlier `target`."""
    if target.exists():
        old = temporary_path(target)
        target.rename(old)
        filling.rename(target)
        shutil.rmtree(old)
    else:
        filling.rename(target)
    sync_directory(target.parent)


def sync_directory(folder: Path) -> None:
    """Flush a directory's entries, so that new names survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Checksum manifests: sizes and checksums, written last, distinguish a complete folder from a damaged one."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from data_pipelines.storage.atomic_file import sync_directory

MANIFEST = "manifest.json"


class DamagedFolderError(ValueError):
    """A folder whose files are not as they were written."""


class Fingerprint(TypedDict):
    """Size in bytes and SHA-256, in hexadecimal, of a file."""

    size: int
    sha256: str


def write_checksums(folder: Path) -> None:
    """Write the manifest: size and SHA-256 of every file; then flush all files to the disk."""
    files = {file.name: _fingerprint(file) for file in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(format_manifest(files))
    for file in folder.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    sync_directory(folder)


def format_manifest(files: Mapping[str, Fingerprint]) -> str:
    """Return the text of the manifest of a folder's files."""
    return json.dumps({"files": dict(sorted(files.items()))}, indent=2) + "\n"


def listed_files(folder: Path) -> set[str]:
    """Return the names of the files in a folder's manifest."""
    return set(json.loads((folder / MANIFEST).read_text())["files"])


def verify(folder: Path) -> str | None:
    """Return the damage of a folder with a manifest, in words; None when every file is as it was written."""
    try:
        listed = json.loads((folder / MANIFEST).read_text())["files"]
        files = {name: {"size": entry["size"], "sha256": entry["sha256"]} for name, entry in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read ({type(error).__name__})"
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["size"]:
            return f"{name} has {file.stat().st_size} bytes instead of {expected['size']}"
        if _fingerprint(file) != expected:
            return f"{name} does not match its checksum"
    return None


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fingerprint(file: Path) -> Fingerprint:
    return {"size": file.stat().st_size, "sha256": hash_file(file)}

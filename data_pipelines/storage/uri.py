"""Paths and URIs of storage: how they are opened, and how names are added to them."""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pyarrow import fs as pafs


def split_uri(uri: str) -> "tuple[pafs.FileSystem, str]":
    """Return file system and path of a local path or a URI such as `s3://bucket/folder`.

    Raises ValueError when the storage cannot be opened.
    """
    if "://" not in uri:
        path = _local_path(uri)
        refuse_other_text(path)
        return pafs.LocalFileSystem(), path
    try:
        return pafs.FileSystem.from_uri(uri)
    except (OSError, ValueError) as error:
        raise ValueError(f"storage {uri!r} cannot be opened: {error}") from error


def refuse_other_text(path: str) -> None:
    """Raise ValueError for a path that is no UTF-8, which neither pyarrow nor JSON takes."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    if shown != path:
        raise ValueError(f"{shown} is no UTF-8; rename that folder, or give a link to it whose name is")


def _local_path(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError(
            f"{path}: no home folder is known for {Path(path).parts[0]}; give storage.path, or this path, in full"
        ) from error


def join_uri(uri: str, name: str) -> str:
    """Append an entry's name to a path or URI; in a URI the name is quoted, and comes before the options."""
    if "://" not in uri:
        return f"{uri.rstrip('/')}/{name}"
    place, mark, options = uri.partition("?")
    return f"{place.rstrip('/')}/{quote(name)}{mark}{options}"


def parent_uri(uri: str) -> str:
    """Return the path or URI of the folder that holds an entry, with the same options.

    Raises ValueError when there is no folder around, as for a bucket.
    """
    place, mark, options = uri.partition("?") if "://" in uri else (str(Path(uri).expanduser().absolute()), "", "")
    scheme, separator, path = place.rpartition("://")
    outer, slash, last = path.rstrip("/").rpartition("/")
    if not slash or not last:
        raise ValueError(f"{uri} lies in no folder, beside which further data could lie; give a folder inside it")
    return f"{scheme}{separator}{outer or separator or slash}{mark}{options}"


def last_name(uri: str) -> str:
    """Return the last name of a path or URI, without the options."""
    return PurePosixPath(uri.partition("?")[0] if "://" in uri else uri).name

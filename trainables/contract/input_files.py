"""Input files of a prediction on any storage, in natural order."""

import os
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from pyarrow.fs import FileSelector

from data_pipelines.readers.bad_file import printable
from data_pipelines.readers.file_listing import list_files, warn_left_out
from data_pipelines.readers.natural_order import is_hidden, natural_key
from data_pipelines.storage.folder import Folder
from trainables.contract.prediction import Input


def find_input_files(
    source: Folder | None, suffixes: Collection[str], *, companions: Collection[str] = ()
) -> list[Input]:
    """Return the files of `find_file_names` as inputs. Raises ValueError when there is none."""
    root, names = find_file_names(source, suffixes, companions=companions)
    return [describe_input(root, name) for name in names]


def find_file_names(
    source: Folder | None, suffixes: Collection[str], *, companions: Collection[str] = ()
) -> tuple[Folder, list[str]]:
    """Find the file that `source` is, or all files below it with one of the endings.

    Hidden files are passed over; what else is left out is counted in a warning. `suffixes` are in small letters;
    `companions` are endings of files that are used beside these, so that they do not count as left out.

    Returns:
        A folder, and the names of the files below it, in natural order.

    Raises:
        ValueError: There is none.
    """
    expected = ", ".join(suffixes)
    if source is None:
        raise ValueError(f"--input is missing; give a file or a folder with files ({expected})")
    if not source.exists():
        raise ValueError(f"--input {source} does not exist")
    if not source.is_folder():
        if PurePosixPath(source.path).suffix.lower() not in suffixes:
            raise ValueError(f"--input {printable(str(source))} is no file of a known kind; expected {expected}")
        return source.parent, [source.name]
    names = _local_names(source, suffixes, companions) if source.is_local else _remote_names(source, suffixes)
    if not names:
        raise ValueError(f"--input {printable(str(source))} holds no file to predict; expected {expected}")
    return source, names


def describe_input(root: Folder, name: str) -> Input:
    """Return a file below a folder as an input, with its size and time."""
    if root.is_local and os.path.exists(root.full(name)):  # pyarrow takes no name that is no UTF-8
        status = os.stat(root.full(name))
        return Input(name, root, size=status.st_size, modified_ns=status.st_mtime_ns)
    info = root.fs.get_file_info(root.full(name))
    return Input(name, root, size=info.size or 0, modified_ns=info.mtime_ns or 0)


def describe_folder_input(root: Folder, name: str, suffixes: Collection[str]) -> Input:
    """Return a folder below another as an input, with the size and time of its own files with one of the endings."""
    entries = root.fs.get_file_info(FileSelector(root.full(name)))
    files = [info for info in entries if PurePosixPath(info.path).suffix.lower() in suffixes]
    newest = max((info.mtime_ns or 0 for info in files), default=0)
    return Input(name, root, size=sum(info.size or 0 for info in files), modified_ns=newest)


def _local_names(source: Folder, suffixes: Collection[str], companions: Collection[str]) -> list[str]:
    root = Path(source.path)
    listing = list_files(root, {*suffixes, *companions})
    warn_left_out(root, [listing])
    return [path.relative_to(root).as_posix() for path in listing.files if path.suffix.lower() in suffixes]


def _remote_names(source: Folder, suffixes: Collection[str]) -> list[str]:
    names = [name for name in source.find("", "") if PurePosixPath(name).suffix.lower() in suffixes]
    shown = [name for name in names if not any(is_hidden(part) for part in PurePosixPath(name).parts)]
    return sorted(shown, key=lambda name: [natural_key(Path(part)) for part in PurePosixPath(name).parts])

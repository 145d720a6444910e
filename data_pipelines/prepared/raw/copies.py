"""Warning of copies: files of equal content in training and in validation or testing."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.contract.pipeline import Split
from data_pipelines.readers.bad_file import few, printable
from data_pipelines.storage.checksums import hash_file

_log = logging.getLogger(__name__)


def warn_of_copies(files: Mapping[Split, Sequence[Path]]) -> None:
    """Log how many files outside of training have the content of a training file, and name the first.

    Only files of equal size in both are read.
    """
    train, others = files.get("train", ()), [path for split in ("val", "test") for path in files.get(split, ())]
    sizes = {size for size, _ in _sizes(train)} & {size for size, _ in _sizes(others)}
    known = {digest: path for digest, path in _digests(train, sizes)}
    copies = [(path, known[digest]) for digest, path in _digests(others, sizes) if digest in known]
    copies = [(path, origin) for path, origin in copies if path != origin]  # one file may be divided in time
    if copies:
        names = few(f"{printable(path)} = {printable(origin)}" for path, origin in copies)
        _log.warning(
            "%d files for validation or testing have the content of a training file, which flatters the scores: %s; "
            "remove one of each",
            *(len(copies), names),
        )


def _sizes(files: Sequence[Path]) -> Iterator[tuple[int, Path]]:
    for path in files:
        try:
            yield path.stat().st_size, path
        except OSError:  # damaged, which reading it says
            continue


def _digests(files: Sequence[Path], sizes: set[int]) -> Iterator[tuple[str, Path]]:
    for size, path in _sizes(files):
        if size in sizes:
            try:
                yield hash_file(path), path
            except OSError:  # as above
                continue

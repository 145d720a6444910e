"""Counts of raw files: listed, used, and left out by reason."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from data_pipelines.contract.pipeline import DataPipeline, FileCounts
from data_pipelines.readers.bad_file import printable
from data_pipelines.readers.file_listing import AGAIN, identity_of, list_files

DAMAGED = "damaged"


def count_files(pipeline: DataPipeline[Any], damaged: Collection[str]) -> FileCounts | None:
    """Count the raw files; None for rows that come from no files.

    `damaged` has the printable paths of files that are left out because they are damaged.
    """
    roots, used_files = pipeline.raw_roots(), pipeline.used_files()
    if not roots:
        return None
    reasons: dict[Path, str] = dict.fromkeys(used_files, "")
    others = [found for root in roots for found in _walk(root) if found[0] not in reasons]
    used = {identity_of(path) for path in used_files} if others else set()
    known = {identity_of(path) for path in pipeline.raw_files()} if others else set()
    endings = {path.suffix.lower() for path in used_files}
    for path, reason in others:
        identity = identity_of(path)
        if reason:
            reasons.setdefault(path, reason)
        elif identity in used:
            reasons.setdefault(path, AGAIN)
        elif identity in known:
            reasons[path] = "in no split by the settings"
        else:
            reasons[path] = (
                "of no row" if path.suffix.lower() in endings else f"ending {path.suffix.lower() or '(none)'}"
            )
    for path in used_files:
        if printable(path) in damaged:
            reasons[path] = DAMAGED
    counts = Counter(reasons.values())
    num_used = counts.pop("", 0)
    return FileCounts(listed=len(reasons), used=num_used, left_out=dict(sorted(counts.items())))


def describe_files(counts: FileCounts) -> str:
    """Return the counts in one line, for the terminal."""
    left_out = ", ".join(f"{reason}: {count:,}" for reason, count in counts.left_out.items())
    return (
        f"{counts.listed:,} raw files: {counts.used:,} used, {sum(counts.left_out.values()):,} left out"
        f"{f' ({left_out})' if left_out else ''}"
    )


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file, with the reason of those that no source takes."""
    if root.is_file():
        yield root, ""
        return
    listing = list_files(root, None)
    yield from ((path, "") for path in listing.files)
    yield from ((path, reason) for reason, paths in listing.left_out.items() for path in paths)

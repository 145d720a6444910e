"""The `clean` verb: what old runs, searches, checkpoints and prepared folders take, and their removal."""

import argparse
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ray_jobs.terminal import print_text, show
from ray_jobs.text_table import TextTable

if TYPE_CHECKING:
    from ray_jobs.runs.retention import Item

SUMMARY = "show, or remove, what old runs and data take"
DESCRIPTION = """Show what old runs, searches, scores of repeats, checkpoints of finished runs and prepared data take.

With --yes they are removed. What is in use, and what anything that stays refers to, is kept, with the reason: the data
and models that a run was made from, and the trials of a search. References from other storage paths are not seen."""
EXAMPLE = "quintet clean ~/quintet --older-than 30d"
KINDS = ("runs", "searches", "repeats", "checkpoints", "data")
UNITS_S = {"h": 3600, "d": 86400, "w": 7 * 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("storage", metavar="STORAGE", nargs="?", help="a storage path; by default that of experiments")
    parser.add_argument(
        "--older-than", metavar="AGE", default="30d", help="least age, such as 12h, 30d (the default) or 8w"
    )
    parser.add_argument(
        "--only",
        metavar="KIND",
        action="append",
        choices=KINDS,
        default=[],
        help=f"one of {', '.join(KINDS)}; repeatable",
    )
    parser.add_argument("--yes", action="store_true", help="remove it; without, nothing is changed")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Show the items, and remove them if asked to."""
    from data_pipelines.storage.folder import Folder
    from ray_jobs.runs.retention import find_items, remove
    from ray_jobs.settings.experiment import Storage

    storage = Folder(options.storage or Storage().path)
    if not storage.exists():
        raise ValueError(f"{storage} does not exist; give the storage path that holds runs/ and data/")
    items = find_items(storage, older_than_s=read_age(options.older_than), kinds=options.only or KINDS)
    old = sorted((item for item in items if not item.keeps), key=lambda item: -item.num_bytes)
    kept = [item for item in items if item.keeps and item.keeps not in ("too young", "not asked for")]
    removed, refused = [], []
    for item in old if options.yes else []:
        try:
            remove(storage, item)
            removed.append(item)
        except (ValueError, OSError) as error:  # another user's folder, or one that a process holds
            refused.append(item)
            print_text(f"{item.name} is kept: {error}", is_error=True)
    shown = removed if options.yes else old
    total = sum(item.num_bytes for item in shown)
    if shown:
        rows = [[item.name, _size(item.num_bytes), _days(item)] for item in shown]
        show(TextTable(["removed" if options.yes else "would be removed", "size", "age"], rows, numeric=(1, 2)))
    if kept:
        rows = [[item.name, _size(item.num_bytes), _days(item), item.keeps] for item in kept]
        show(TextTable(["kept though old", "size", "age", "because"], rows, numeric=(1, 2)))
    advice = "" if options.yes or not old else "; --yes removes it"
    count = f"{len(shown)} folder{'s' * (len(shown) != 1)}"
    print_text(f"{'removed' if options.yes else 'to remove'}: {count}, {_size(total)}{advice}")
    return {
        "storage": str(storage),
        "removed" if options.yes else "to_remove": [_to_dict(item) for item in shown],
        "kept": [_to_dict(item) for item in [*kept, *refused]],
        "bytes": total,
    }


def read_age(text: str) -> float:
    """Return the seconds of an age such as `30d`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+)([hdw])", text)
    if not match:
        raise ValueError(f"--older-than {text}: write a number with h, d or w, for example 30d")
    return float(match[1]) * UNITS_S[match[2]]


def _to_dict(item: "Item") -> dict[str, Any]:
    return {
        name: value for name, value in asdict(item).items() if name in ("kind", "name", "num_bytes", "age_s", "keeps")
    }


def _days(item: "Item") -> str:
    return f"{item.age_s / 86400:.0f} d"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f} MiB"

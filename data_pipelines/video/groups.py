"""Groups of clips, such as the signer or the scene, none of which is for training and for testing too."""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace

from data_pipelines.contract.pipeline import Split
from data_pipelines.readers.bad_file import few, printable
from data_pipelines.video.clips import Clip, ClipListing

_log = logging.getLogger(__name__)


def split_by_group(listing: ClipListing, group: str | int) -> ClipListing:
    """Take the last fifth of the groups in natural order, at least one, for testing; folders of the user stay.

    `group` is the place of a folder in the name of a clip, from 1, or a regular expression that finds the group in it:
    what its first parentheses hold, else all that it matches.

    Raises:
        ValueError: A clip is of no group, there is only one, or the user's folders divide one.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in (clip for clips in listing.clips.values() for clip in clips):
        groups.setdefault(_group_of(clip, group, skips_split=listing.is_by_folder), []).append(clip)
    if listing.is_by_folder:
        _refuse_divided(listing, group)
        return listing
    if len(groups) < 2:
        raise ValueError(
            f"`group` is {group!r}, and all {len(listing.clips['train']) + len(listing.clips['test'])} clips are of "
            f"the one group {printable(next(iter(groups)))}; give another folder level or pattern"
        )
    names = list(groups)
    num_test = max(1, len(names) // 5)
    clips: dict[Split, Sequence[Clip]] = {
        "train": [clip for name in names[:-num_test] for clip in groups[name]],
        "test": [clip for name in names[-num_test:] for clip in groups[name]],
    }
    words = "%d groups (%s) are for training, %d (%s) for testing"
    _log.warning(words, len(names) - num_test, few(names[:-num_test]), num_test, few(names[-num_test:]))
    return replace(
        listing, clips=clips, rule=f"the last fifth of the groups by {group!r}, at least one, is for testing"
    )


def _group_of(clip: Clip, group: str | int, *, skips_split: bool) -> str:
    if isinstance(group, int):
        folders = clip.name.split("/")[int(skips_split) : -1]
        found = folders[group - 1] if len(folders) >= group else None
        wanted = f"is in no folder of level {group}"
    else:
        match = re.search(group, clip.name)
        found = None if match is None else match[1 if match.re.groups else 0]
        wanted = f"has a name in which {group!r} finds nothing"
    if not found:
        raise ValueError(
            f"clip {printable(clip.name)} {wanted}; `group` is a folder's level below the path, from 1, or a regular "
            "expression for names of clips"
        )
    return found


def _refuse_divided(listing: ClipListing, group: str | int) -> None:
    train = {_group_of(clip, group, skips_split=True) for clip in listing.clips.get("train", ())}
    for split in ("val", "test"):
        both = sorted({_group_of(clip, group, skips_split=True) for clip in listing.clips.get(split, ())} & train)
        if both:
            raise ValueError(
                f"{len(both)} groups ({few(both)}) are in the folders train and {split}; move each to one of them, or "
                "leave `group` out"
            )

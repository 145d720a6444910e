"""Clips before they are stored: a name, a length known without reading, and frames that are read on demand."""

import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from data_pipelines.contract.pipeline import Split
from data_pipelines.prepared.sources.split_folders import find_split_folders, warn_of_strays
from data_pipelines.readers.bad_file import few, printable
from data_pipelines.readers.file_listing import FileListing, list_files, refuse_shared, warn_left_out
from data_pipelines.readers.image_shape import ImageShape

_log = logging.getLogger(__name__)


class Clip(Protocol):
    """Consecutive frames without a gap."""

    @property
    def name(self) -> str:
        """Unique in its split."""
        ...

    @property
    def origin(self) -> str:
        """The file or files and the frames of them, for messages."""
        ...

    @property
    def num_frames(self) -> int:
        """Number of frames, known without reading them."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """Files of the frames, for the hash of the raw data."""
        ...

    def read(self, shape: ImageShape) -> np.ndarray:
        """Read uint8 [frames, channels, height, width]; ValueError names the file that cannot be read."""
        ...

    def cut(self, start: int, stop: int) -> Self:
        """Return frames `start` to `stop` (not included) as a clip of its own."""
        ...


@dataclass(frozen=True)
class ClipListing:
    """All clips of a source."""

    clips: Mapping[Split, Sequence[Clip]]
    rule: str
    """How clips were assigned to the splits, in words."""
    is_by_folder: bool = False
    """Whether the user's folders train and test assign them."""
    rate_hz: float | None = None
    """Frames per second of all clips; None: unknown, or not the same."""


@dataclass(frozen=True)
class FrameSpan:
    """Frames `start` to `stop` of a longer sequence; the base of clips that are parts of a file or of a generator."""

    name: str
    start: int
    stop: int

    @property
    def origin(self) -> str:
        return self.name

    @property
    def num_frames(self) -> int:
        return self.stop - self.start

    def cut(self, start: int, stop: int) -> Self:
        """Return a part, named after its frames."""
        first = self.start + start
        return replace(self, name=f"{self.name}[{start}:{stop}]", start=first, stop=self.start + stop)


def list_splits(
    root: Path, clips_of: Callable[[list[Path]], Sequence[Clip]], *, suffixes: Collection[str], what: str
) -> ClipListing:
    """List clips by the folders train, val and test if they exist, else by `split_last_fifth`.

    `clips_of` is called once, with all files in natural order, and makes clips of them, named from `root`; `what` is
    the kind of files, for the error.

    Raises:
        ValueError: There are no clips, or one file is for training and, by another name, for testing too.
    """
    folders = find_split_folders(root)
    by_folder: dict[Split, FileListing] = {}
    for split, folder in folders.items():
        by_folder[split] = list_files(folder, suffixes)
    holding: list[Split] = [split for split, listing in by_folder.items() if listing.files]
    is_split = "train" in holding and "test" in holding
    if not is_split and set(holding) - {"train"}:
        names = " and ".join(folders[split].name for split in holding)
        raise ValueError(
            f"{printable(root)} holds {what} in {names}; clips by folders need train and test (val may be there too)"
        )
    listings = list(by_folder.values()) if is_split else [list_files(root, suffixes)]
    files = [file for listing in listings for file in listing.files]
    if not files:
        endings = few(listings[0].left_out)
        raise ValueError(f"{root} holds no {what} at any depth{endings and f'; left out were files by {endings}'}")
    warn_left_out(root, listings)
    clips = clips_of(files)
    if not is_split:
        return refuse_leaks(split_last_fifth(clips))
    warn_of_strays(root, files, suffixes)
    by_split: dict[Split, Sequence[Clip]] = {
        split: [clip for clip in clips if clip.files[0].is_relative_to(folder)] for split, folder in folders.items()
    }
    return refuse_leaks(ClipListing(by_split, "the folders train, val and test", is_by_folder=True))


def refuse_leaks(listing: ClipListing) -> ClipListing:
    """Return the listing; ValueError when one file is for training and, by another name, for testing or validation."""
    files = {split: {file: None for clip in clips for file in clip.files} for split, clips in listing.clips.items()}
    train = files.get("train", {})
    for split in ("val", "test"):
        # A single clip is divided in time, so that both parts are of the same file by the same name.
        refuse_shared(train.keys(), [file for file in files.get(split, {}) if file not in train])
    return listing


def split_last_fifth(clips: Sequence[Clip]) -> ClipListing:
    """Take the last fifth of the clips, at least one, for testing; of a single clip, the last fifth of its frames."""
    if len(clips) == 1:
        (clip,) = clips
        middle = clip.num_frames - clip.num_frames // 5
        return ClipListing(
            {"train": [clip.cut(0, middle)], "test": [clip.cut(middle, clip.num_frames)]},
            "the last fifth of the frames of the only clip is for testing",
        )
    num_test = max(1, len(clips) // 5)
    return ClipListing(
        {"train": clips[:-num_test], "test": clips[-num_test:]},
        "the last fifth of the clips in natural order, at least one, is for testing",
    )


def cut_long_clips(clips: Iterable[Clip], max_frames: int, *, window_frames: int) -> list[Clip]:
    """Cut clips of more than `max_frames` into parts of equal length, give or take one frame.

    Parts are longer than `max_frames` if a window would not fit into shorter ones.
    """
    pieces: list[Clip] = []
    for clip in clips:
        count = min(-(-clip.num_frames // max_frames), clip.num_frames // window_frames)
        if count <= 1:
            pieces.append(clip)
            continue
        edges = [clip.num_frames * number // count for number in range(count + 1)]
        pieces += [clip.cut(start, stop) for start, stop in itertools.pairwise(edges)]
    return pieces

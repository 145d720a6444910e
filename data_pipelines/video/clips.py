"""Clips before they are stored: a name, a length known without reading, and frames that are read on demand."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np

from data_pipelines.contract.pipeline import SPLITS, Split


class FrameShape(NamedTuple):
    """Shape of one stored frame."""

    channels: int
    height: int
    width: int


class Clip(Protocol):
    """Consecutive frames without a gap."""

    @property
    def name(self) -> str:
        """Unique in its split."""
        ...

    @property
    def num_frames(self) -> int:
        """Number of frames, known without decoding one."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """Files of the frames, for the hash of the raw data."""
        ...

    def read(self, shape: FrameShape) -> np.ndarray:
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


@dataclass(frozen=True)
class FrameSpan:
    """Frames `start` to `stop` of a longer sequence; the base of clips that are parts of a file or of a generator."""

    name: str
    start: int
    stop: int

    @property
    def num_frames(self) -> int:
        """Length of the span."""
        return self.stop - self.start

    def cut(self, start: int, stop: int) -> Self:
        """Return a part, named after its frames."""
        first = self.start + start
        return replace(self, name=f"{self.name}[{start}:{stop}]", start=first, stop=self.start + stop)


def list_splits(root: Path, list_below: Callable[[Path, Path], Sequence[Clip]], *, what: str) -> ClipListing:
    """List clips by the folders train, val and test if they exist, else by `split_last_fifth`.

    Args:
        root: Folder of the data.
        list_below: Called with a folder and `root`; lists the clips at any depth, named from `root`.
        what: The kind of files, for the error.

    Raises:
        ValueError: There are no clips.
    """
    named: dict[Split, Sequence[Clip]] = {split: list_below(root / split, root) for split in SPLITS}
    if named["train"] and named["test"]:
        return ClipListing(named, "the folders train, val and test")
    clips = list_below(root, root)
    if not clips:
        raise ValueError(f"{root} holds no {what} at any depth")
    return split_last_fifth(clips)


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

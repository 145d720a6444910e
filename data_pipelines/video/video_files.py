"""Clips stored as video files, read with PyAV."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.readers.bad_file import NAMED, BadFileError, few, printable, refuse_all
from data_pipelines.video.clips import ClipListing, FrameShape, FrameSpan, list_splits, split_last_fifth
from data_pipelines.video.frame_folders import fit_frame
from data_pipelines.video.video_decoder import VideoDecoder
from data_pipelines.video.video_facts import VideoFacts, read_facts

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".mpg", ".mpeg", ".ts", ".m2ts", ".ogv", ".gif",
)  # fmt: skip
_SAME_RATE = 1.01
"""Rates that differ by less are the same: 29.97 and 30, and what a container rounds."""
_log = logging.getLogger(__name__)
_kept: list[VideoDecoder] = []
"""The decoder of the part that was read last, at most one: the next part of the same file goes on from there."""


@dataclass(frozen=True)
class VideoClip(FrameSpan):
    """Frames `start` to `stop` of a file."""

    file: Path

    @property
    def files(self) -> Sequence[Path]:
        """The one file."""
        return (self.file,)

    @property
    def origin(self) -> str:
        """The file and its frames."""
        return f"{printable(self.file)}, frames {self.start} to {self.stop - 1},"

    def read(self, shape: FrameShape) -> np.ndarray:
        """Decode from where the last read ended, or else from the beginning: seeking is exact in few formats."""
        decoder = _take_decoder(self.file, self.start)
        try:
            while decoder.num_read < self.start:
                decoder.skip()
            frames = [fit_frame(next(decoder), shape) for _ in range(self.num_frames)]
        except StopIteration:
            decoder.close()
            raise BadFileError(
                self.file,
                f"only {decoder.num_read} of its {self.stop} frames can be decoded; copy it again, or remove it",
            ) from None
        except ValueError:
            decoder.close()
            raise
        _keep_decoder(decoder)
        return np.stack(frames)


def list_video_files(root: Path, *, skips_bad: bool = False) -> ClipListing:
    """List `[{train,val,test}/][any folder/]<file>`, or one file; every file is a clip.

    Warns of rates that differ. Raises ValueError naming every file that is no whole video, or with `skips_bad` leaves
    them out with a warning.
    """
    if root.is_file():
        return split_last_fifth(_open_clips([root], root.parent, skips_bad=False))
    return list_splits(
        root,
        lambda files: _open_clips(files, root, skips_bad=skips_bad),
        suffixes=VIDEO_SUFFIXES,
        what=f"videos ({', '.join(VIDEO_SUFFIXES)})",
    )


def _open_clips(files: Sequence[Path], root: Path, *, skips_bad: bool) -> list[VideoClip]:
    facts: dict[Path, VideoFacts] = {}
    faults: list[BadFileError] = []
    for file in files:
        try:
            facts[file] = read_facts(file)
        except BadFileError as fault:
            faults.append(fault)
    if skips_bad:
        words = "%d damaged videos are left out: %s"
        _log.warning(words, len(faults), few(faults, most=NAMED)) if faults else None
    else:
        refuse_all(faults, "copy them again, remove them, or give `--set workload.data.on_bad_file=skip`")
    if not facts:
        raise ValueError(f"{printable(root)}: none of its {len(files)} videos can be read")
    _warn_of_rates(facts)
    return [
        VideoClip(file.relative_to(root).as_posix(), 0, facts[file].num_frames, file) for file in files if file in facts
    ]


def _warn_of_rates(facts: dict[Path, VideoFacts]) -> None:
    variable = [
        f"{printable(file.name)} ({fact.slowest_hz:.4g} to {fact.fastest_hz:.4g})"
        for file, fact in facts.items()
        if fact.slowest_hz is not None and fact.fastest_hz is not None
    ]
    if variable:
        _log.warning(
            "%d of %d videos have a variable frame rate, in frames/s: %s. `sample_interval` counts frames, so windows "
            "of these have uneven steps in time; convert them to a constant rate",
            len(variable), len(facts), few(variable),
        )  # fmt: skip
    groups = _group_by_rate(facts)
    if len(groups) > 1:
        words = "; ".join(f"{rate:.4g} frames/s: {len(files)} ({few(files)})" for rate, files in groups.items())
        _log.warning(
            "the videos have different frame rates (%s). `sample_interval` counts frames, so the steps of a window are "
            "of different lengths in time; convert the videos to one rate",
            words,
        )


def _group_by_rate(facts: dict[Path, VideoFacts]) -> dict[float, list[str]]:
    groups: dict[float, list[str]] = {}
    rated = [(fact.rate_hz, file.name) for file, fact in facts.items() if fact.rate_hz is not None]
    for rate, name in sorted(rated):
        last = next(reversed(groups), None)
        groups.setdefault(last if last is not None and rate < last * _SAME_RATE else rate, []).append(name)
    return groups


def _take_decoder(file: Path, start: int) -> VideoDecoder:
    """Return the kept decoder, which is nobody else's from then on, or a new one."""
    while _kept:
        decoder = _kept.pop()
        if decoder.file == file and decoder.num_read <= start:
            return decoder
        decoder.close()
    return VideoDecoder(file)


def _keep_decoder(decoder: VideoDecoder) -> None:
    while _kept:
        _kept.pop().close()
    _kept.append(decoder)

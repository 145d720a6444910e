"""Clips stored as video files, read with PyAV."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_pipelines.readers.bad_file import NAMED, BadFileError, few, printable, refuse_all
from data_pipelines.readers.image_file import fit_image
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.video.clips import ClipListing, FrameSpan, list_splits, split_last_fifth
from data_pipelines.video.video_decoder import VideoDecoder
from data_pipelines.video.video_facts import VideoFacts, choose_frames, is_same_rate, read_facts

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".mpg", ".mpeg", ".ts", ".m2ts", ".ogv", ".gif",
)  # fmt: skip
_log = logging.getLogger(__name__)
_kept: list[VideoDecoder] = []
"""The decoder of the part that was read last, at most one: the next part of the same file goes on from there."""


@dataclass(frozen=True)
class VideoClip(FrameSpan):
    """Frames `start` to `stop` of a file, or of some of its frames."""

    file: Path
    places: tuple[int, ...] | None = None
    """Those of these frames in the file, in order; None: all."""

    @property
    def files(self) -> Sequence[Path]:
        return (self.file,)

    @property
    def origin(self) -> str:
        places = self._places
        return f"{printable(self.file)}, frames {places[0]} to {places[-1]},"

    @property
    def _places(self) -> Sequence[int]:
        return range(self.start, self.stop) if self.places is None else self.places[self.start : self.stop]

    def read(self, shape: ImageShape) -> np.ndarray:
        """Decode from where the last read ended, or else from the beginning: seeking is exact in few formats."""
        places = self._places
        decoder = _take_decoder(self.file, places[0])
        frames = []
        try:
            for place in places:
                while decoder.num_read < place:
                    decoder.skip()
                frames.append(fit_image(next(decoder), shape))
        except StopIteration:
            decoder.close()
            raise BadFileError(
                self.file,
                f"only {decoder.num_read} of its {places[-1] + 1} frames can be decoded; copy it again, or remove it",
            ) from None
        except ValueError:
            decoder.close()
            raise
        _keep_decoder(decoder)
        return np.stack(frames)


def list_video_files(root: Path, *, skips_bad: bool = False, frames_per_s: float | None = None) -> ClipListing:
    """List `[{train,val,test}/][any folder/]<file>`, or one file; every file is a clip.

    Warns of rates that differ, unless each file is brought to `frames_per_s`. Raises ValueError naming every file that
    is no whole video or has too low a rate, or with `skips_bad` leaves them out with a warning.
    """
    rates: list[float | None] = []

    def open_clips(files: Sequence[Path]) -> list[VideoClip]:
        facts = _read_all_facts(files, root, frames_per_s, skips_bad=skips_bad and not root.is_file())
        if frames_per_s is None:
            _warn_of_rates(facts)
        rates.extend(fact.rate_hz for fact in facts.values())
        folder = root.parent if root.is_file() else root
        return [_open_clip(file, folder, fact, frames_per_s) for file, fact in facts.items()]

    if root.is_file():
        listing = split_last_fifth(open_clips([root]))
    else:
        what = f"videos ({', '.join(VIDEO_SUFFIXES)})"
        listing = list_splits(root, open_clips, suffixes=VIDEO_SUFFIXES, what=what)
    return replace(listing, rate_hz=frames_per_s or _common_rate(rates))


def _open_clip(file: Path, folder: Path, facts: VideoFacts, frames_per_s: float | None) -> VideoClip:
    chosen = None if frames_per_s is None else choose_frames(facts, frames_per_s, file)
    places = None if chosen is None else tuple(chosen.tolist())
    count = facts.num_frames if places is None else len(places)
    return VideoClip(file.relative_to(folder).as_posix(), 0, count, file, places)


def _common_rate(rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return known[0] if known and len(known) == len(rates) and is_same_rate(min(known), max(known)) else None


def _read_all_facts(
    files: Sequence[Path], root: Path, frames_per_s: float | None, *, skips_bad: bool
) -> dict[Path, VideoFacts]:
    facts: dict[Path, VideoFacts] = {}
    faults: list[BadFileError] = []
    for file in files:
        try:
            found = read_facts(file)
            if frames_per_s is not None:
                choose_frames(found, frames_per_s, file)
            facts[file] = found
        except BadFileError as fault:
            faults.append(fault)
    if skips_bad:
        words = "%d damaged videos are left out: %s"
        _log.warning(words, len(faults), few(faults, most=NAMED)) if faults else None
    else:
        refuse_all(faults, "copy them again, remove them, or give `--set workload.data.on_bad_file=skip`")
    if not facts:
        raise ValueError(f"{printable(root)}: none of its {len(files)} videos can be read")
    return facts


def _warn_of_rates(facts: dict[Path, VideoFacts]) -> None:
    variable = [
        f"{printable(file.name)} ({fact.slowest_hz:.4g} to {fact.fastest_hz:.4g})"
        for file, fact in facts.items()
        if fact.slowest_hz is not None and fact.fastest_hz is not None
    ]
    if variable:
        _log.warning(
            "%d of %d videos have a variable frame rate, in frames/s: %s. `sample_interval` counts frames, so windows "
            "of these have uneven steps in time; `workload.data.frames_per_s` takes frames at even times",
            len(variable), len(facts), few(variable),
        )  # fmt: skip
    groups = _group_by_rate(facts)
    if len(groups) > 1:
        words = "; ".join(f"{rate:.4g} frames/s: {len(files)} ({few(files)})" for rate, files in groups.items())
        _log.warning(
            "the videos have different frame rates (%s). `sample_interval` counts frames, so the steps of a window are "
            "of different lengths in time; `workload.data.frames_per_s` brings the videos to one rate",
            words,
        )


def _group_by_rate(facts: dict[Path, VideoFacts]) -> dict[float, list[str]]:
    groups: dict[float, list[str]] = {}
    rated = [(fact.rate_hz, file.name) for file, fact in facts.items() if fact.rate_hz is not None]
    for rate, name in sorted(rated):
        last = next(reversed(groups), None)
        groups.setdefault(last if last is not None and is_same_rate(last, rate) else rate, []).append(name)
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

"""Clips stored as video files, read with PyAV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.readers.natural_order import natural_key
from data_pipelines.readers.pyav import import_av
from data_pipelines.readers.video_container import check_is_whole
from data_pipelines.video.clips import ClipListing, FrameShape, FrameSpan, list_splits, split_last_fifth
from data_pipelines.video.frame_folders import fit_frame

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".gif")


@dataclass(frozen=True)
class VideoClip(FrameSpan):
    """Frames `start` to `stop` of a file."""

    file: Path

    @property
    def files(self) -> Sequence[Path]:
        """The one file."""
        return (self.file,)

    def read(self, shape: FrameShape) -> np.ndarray:
        """Decode from the file's beginning, because seeking is exact in few formats."""
        frames, first = [], None
        for number, image in enumerate(_decode(self.file)):
            if number >= self.stop:
                break
            first = first or image.size
            if image.size != first:
                raise ValueError(
                    f"{self.file}: frame {number} is of another size than the first; divide the file there"
                )
            if number >= self.start:
                frames.append(fit_frame(image, shape))
        if len(frames) != self.num_frames:
            raise ValueError(
                f"{self.file}: only {self.start + len(frames)} of its {self.stop} frames can be decoded; replace it"
            )
        return np.stack(frames)


def list_video_files(root: Path) -> ClipListing:
    """List `[{train,val,test}/][any folder/]<file>`, or one file; every file is a clip."""
    if root.is_file():
        return split_last_fifth([_open_clip(root, root.parent)])
    return list_splits(root, _clips_below, what=f"videos ({', '.join(VIDEO_SUFFIXES)})")


def count_frames(file: Path) -> int:
    """Count the frames by packets, without decoding; packets that an edit list discards are left out.

    Raises ValueError naming a file that is no video.
    """
    av = import_av()
    try:
        with av.open(str(file)) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size and not packet.is_discard)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise _unreadable(file, error) from error


def _clips_below(folder: Path, root: Path) -> list[VideoClip]:
    files = [path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    files.sort(key=lambda path: [natural_key(Path(part)) for part in path.parts])
    return [_open_clip(path, root) for path in files]


def _open_clip(file: Path, root: Path) -> VideoClip:
    check_is_whole(file)
    return VideoClip(file.relative_to(root).as_posix(), 0, count_frames(file), file)


def _decode(file: Path) -> Any:
    av = import_av()
    try:
        with av.open(str(file)) as container:
            for frame in container.decode(video=0):
                yield frame.to_image()
    except (av.FFmpegError, IndexError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(f"{file}: cannot be read as a video ({error}); replace or remove the file")

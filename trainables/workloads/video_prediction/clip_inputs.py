"""Clips to predict: video files and folders of frames on any storage, read by the code of the data pipeline."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np

from data_pipelines.readers.bad_file import BadFileError, few, printable
from data_pipelines.readers.image_file import IMAGE_SUFFIXES
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.readers.natural_order import is_hidden
from data_pipelines.storage.folder import Folder
from data_pipelines.video.frame_folders import FrameClip, group_by_prefix, order_frames
from data_pipelines.video.video_facts import choose_frames, read_facts
from data_pipelines.video.video_files import VIDEO_SUFFIXES, VideoClip
from trainables.contract.input_files import describe_folder_input, describe_input, find_file_names
from trainables.contract.prediction import Input

SUFFIXES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)
Choice = Callable[[int], Sequence[int]]
"""Takes the number of frames of a clip and returns the places of those to read, in order. Raises ValueError for a clip
that has too few."""


@dataclass(frozen=True)
class ClipFrames:
    """Some frames of a clip."""

    frames: np.ndarray
    """uint8 [frames, channels, height, width]."""
    places: tuple[int, ...]
    """Their places in the clip, counted from 0."""
    rate_hz: float | None
    """Frames per second of the clip; None: unknown."""


def find_clips(source: Folder | None) -> list[Input]:
    """Return the video that `source` is, or all clips below it, in natural order.

    A clip is a video file, or a folder that holds frames itself. Raises ValueError when there is none.
    """
    root, names = find_file_names(source, SUFFIXES)
    if root is not source and _is_frame(names[0]):
        raise ValueError(f"--input {printable(str(source))} is one picture; give the folder with the frames of a clip")
    clips = dict.fromkeys(str(PurePosixPath(name).parent) if _is_frame(name) else name for name in names)
    if "." in clips:  # the folder itself is a clip, and needs a name
        clips = dict.fromkeys(str(PurePosixPath(root.name, name)) for name in clips)
        root = root.parent
    return [_describe(root, name) for name in clips]


def read_clip(item: Input, shape: ImageShape, choose: Choice, frames_per_s: float | None = None) -> ClipFrames:
    """Read some frames of a clip, resized and cropped as those of the training.

    `item` is a video file, or a folder of frames. A video is first brought to `frames_per_s`, as that of the training;
    None is its own rate.

    Raises:
        BadFileError: The clip is too short, or cannot be read; the fault names the frame.
    """
    assert item.root is not None
    if not item.root.is_folder(item.name):
        with item.open() as file:
            return _read_video(file, item.name, shape, choose, frames_per_s)
    try:
        return _read_folder(item.root, item.name, shape, choose)
    except BadFileError as error:
        if error.file == Path(item.name):
            raise
        raise BadFileError(Path(item.name), f"{printable(error.file.name)}: {error.fault}") from error


def choose_of(clip: Path, num_frames: int, choose: Choice) -> Sequence[int]:
    """Return the chosen places. Raises BadFileError naming a clip that is too short."""
    try:
        return choose(num_frames)
    except ValueError as error:
        raise BadFileError(clip, str(error)) from error


def _is_frame(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _describe(root: Folder, name: str) -> Input:
    if root.is_folder(name):
        return describe_folder_input(root, name, IMAGE_SUFFIXES)
    return describe_input(root, name)


def _read_video(file: Path, name: str, shape: ImageShape, choose: Choice, frames_per_s: float | None) -> ClipFrames:
    facts = read_facts(file)
    kept = None if frames_per_s is None else choose_frames(facts, frames_per_s, file)
    all_places = range(facts.num_frames) if kept is None else kept.tolist()
    places = [all_places[place] for place in choose_of(file, len(all_places), choose)]
    frames = [VideoClip(name, place, place + 1, file).read(shape) for place in places]
    return ClipFrames(np.concatenate(frames), tuple(places), frames_per_s or facts.rate_hz)


def _read_folder(root: Folder, name: str, shape: ImageShape, choose: Choice) -> ClipFrames:
    entries = [entry for entry in root.names(name) if _is_frame(entry) and not is_hidden(entry)]
    prefixes = group_by_prefix(map(Path, entries))
    if len(prefixes) > 1:
        kinds = few(f"{prefix}*" for prefix in prefixes)
        raise BadFileError(
            Path(name), f"holds frames of {len(prefixes)} names ({kinds}); give each clip a folder of its own"
        )
    ordered = order_frames([Path(entry) for entry in entries])
    places = choose_of(Path(name), len(ordered), choose)
    with _local_files(root / name, [ordered[place].name for place in places]) as files:
        return ClipFrames(FrameClip(name, tuple(files)).read(shape), tuple(places), None)


@contextmanager
def _local_files(folder: Folder, names: Sequence[str]) -> Iterator[list[Path]]:
    if folder.is_local:
        yield [Path(folder.full(name)) for name in names]
        return
    with TemporaryDirectory(prefix="quintet-input-") as temporary:
        files = [Path(temporary, name) for name in names]
        for file in dict.fromkeys(files):
            file.write_bytes(folder.read(file.name))
        yield files

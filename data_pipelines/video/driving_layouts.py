"""Folder layouts of two driving sets: Bench2Drive and nuScenes."""

import itertools
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines.readers.natural_order import visible_entries
from data_pipelines.video.clips import ClipListing, refuse_leaks, split_last_fifth
from data_pipelines.video.frame_folders import FrameClip, list_frames, order_frames

_GAP = 1.5
"""A time step this many times the median one is a gap."""
_log = logging.getLogger(__name__)


def list_bench2drive(root: Path, camera: str) -> ClipListing:
    """List `<Scenario>_Town<NN>_Route<N>_Weather<N>/camera/<camera>/00000.jpg`.

    Scenarios are sorted; the last fifth is for testing.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; expected one with a folder for each Bench2Drive clip")
    clips = []
    for folder in visible_entries(root):
        if not (folder / "camera").is_dir():
            continue
        frames = folder / "camera" / camera
        images = _images(frames) if frames.is_dir() else []
        if not images:
            raise ValueError(f"{frames}: holds no images; unpack the clip again, remove it, or name another `camera`")
        clips.append(FrameClip(folder.name, tuple(order_frames(images))))
    if not clips:
        raise ValueError(f"{root} holds no folders <clip>/camera/{camera}; unpack the clips' archives there")
    return refuse_leaks(split_last_fifth(clips))


def list_nuscenes(root: Path, camera: str) -> ClipListing:
    """List `{samples,sweeps}/<camera>/<log>__<camera>__<microseconds>.jpg`.

    Key frames and sweeps are listed together in time order, and the frames of one log are cut into clips at time gaps,
    as between two scenes.
    """
    files = [path for part in ("samples", "sweeps") for path in _images(root / part / camera)]
    if not files:
        raise ValueError(
            f"{root} holds no images in samples/{camera} and sweeps/{camera}; give the folder of these two, or another "
            "`camera`"
        )
    logs: dict[str, list[tuple[int, Path]]] = {}
    for path in files:
        match = re.fullmatch(rf"(.+)__{re.escape(camera)}__(\d+)", path.stem)
        if match is None:
            raise ValueError(f"{path}: the name does not end in __{camera}__<microseconds>; remove the file")
        logs.setdefault(match[1], []).append((int(match[2]), path))
    clips = [clip for log in sorted(logs) for clip in _cut_at_gaps(log, sorted(logs[log]))]
    return refuse_leaks(split_last_fifth(clips))


def _cut_at_gaps(log: str, frames: Sequence[tuple[int, Path]]) -> list[FrameClip]:
    stamps = np.array([stamp for stamp, _ in frames])
    steps = np.diff(stamps)
    jumps = np.flatnonzero(steps > _GAP * np.median(steps)) + 1 if len(steps) else np.empty(0, int)
    for jump in jumps:
        _log.warning("%s: %.2f s pass before it; a new clip begins", frames[int(jump)][1], steps[jump - 1] / 1e6)
    edges = [0, *jumps.tolist(), len(frames)]
    parts = [frames[start:stop] for start, stop in itertools.pairwise(edges)]
    return [FrameClip(f"{log}@{part[0][0]}", tuple(path for _, path in part)) for part in parts]


def _images(folder: Path) -> list[Path]:
    return list_frames(folder) if folder.is_dir() else []

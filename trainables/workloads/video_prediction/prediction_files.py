"""Files of a predicted future: its frames, and animations in which a coloured border tells past from future."""

from collections.abc import Collection

import numpy as np

from trainables.pictures.animation import encode_gif, encode_mp4
from trainables.pictures.picture_grid import encode_png
from trainables.workloads.video_prediction.bordered_frames import FUTURE, PAST, draw_frame, time_name

_SIDE = 192
"""Smaller pictures are enlarged to about this side."""


def encode_future(
    folder: str, past: np.ndarray, future: np.ndarray, *, formats: Collection[str], frames_per_s: float
) -> dict[str, bytes]:
    """Return the content of the files of one draw, by name.

    Args:
        folder: Folder of the files.
        past: uint8 [past, height, width, channels].
        future: uint8 [future, height, width, channels].
        formats: Any of `png`, `gif` and `mp4`.
        frames_per_s: Rate of the animations.
    """
    files: dict[str, bytes] = {}
    if "png" in formats:
        width = len(str(len(future)))
        files = {f"{folder}/frame_t+{step:0{width}d}.png": encode_png(frame) for step, frame in enumerate(future, 1)}
    frames = draw_animation(past, future) if {"gif", "mp4"} & set(formats) else []
    if "gif" in formats:
        files[f"{folder}/prediction.gif"] = encode_gif(frames, frames_per_s)
    if "mp4" in formats:
        files[f"{folder}/prediction.mp4"] = encode_mp4(frames, frames_per_s)
    return files


def draw_animation(past: np.ndarray, future: np.ndarray) -> list[np.ndarray]:
    """Draw past, then future: grey around past frames, orange around predicted ones, and the time below each.

    Args:
        past: uint8 [past, height, width, 1 or 3].
        future: uint8 [future, height, width, 1 or 3].

    Returns:
        Frames, uint8 [height, width, 3] each.
    """
    last = len(past) - 1
    drawn = [draw_frame(picture, time_name(place - last), PAST, side=_SIDE) for place, picture in enumerate(past)]
    return [
        *drawn,
        *(draw_frame(each, f"{time_name(step)} predicted", FUTURE, side=_SIDE) for step, each in enumerate(future, 1)),
    ]

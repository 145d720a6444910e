"""Files of a predicted future: its frames, and animations in which a coloured border tells past from future."""

from collections.abc import Collection

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainables.contract.animation import encode_gif, encode_mp4
from trainables.contract.picture_grid import encode_png, enlarge

PAST, FUTURE = (150, 150, 150), (230, 110, 0)
"""Colours around past frames, and around predicted ones: grey and orange."""
_BORDER = 5
_CAPTION = 18
"""Height of the line below a picture, in pixels."""
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
    drawn = [_frame(picture, f"t-{last - place}" if place < last else "t", PAST) for place, picture in enumerate(past)]
    return [*drawn, *(_frame(picture, f"t+{step} predicted", FUTURE) for step, picture in enumerate(future, 1))]


def _frame(picture: np.ndarray, caption: str, colour: tuple[int, int, int]) -> np.ndarray:
    zoom = max(1, round(_SIDE / max(picture.shape[:2])))
    pixels = enlarge(np.repeat(picture, 3 // picture.shape[2], axis=2), zoom)
    height, width = pixels.shape[:2]
    canvas = Image.new("RGB", (width + 2 * _BORDER, height + 2 * _BORDER + _CAPTION), colour)
    canvas.paste(Image.fromarray(pixels), (_BORDER, _BORDER))
    line = (canvas.width // 2, height + _BORDER + (_CAPTION + _BORDER) // 2)
    ImageDraw.Draw(canvas).text(line, caption, fill="black", font=ImageFont.load_default(14), anchor="mm")
    return np.asarray(canvas)

"""Frames in a coloured border that tells past from future, with their time below."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainables.pictures.picture_grid import enlarge

Colour = tuple[int, int, int]
PAST, FUTURE = (150, 150, 150), (230, 110, 0)
"""Colours around frames that were seen, and around predicted ones: grey and orange."""
_BORDER = 5
_CAPTION = 18
"""Height of the line below a picture, in pixels."""


def draw_frame(picture: np.ndarray, caption: str, colour: Colour, *, side: int) -> np.ndarray:
    """Draw a frame in its border, uint8 [height, width, 3].

    `picture` is uint8 [height, width, 1 or 3]; smaller ones are enlarged to about `side`, by a whole factor. The
    caption stands below it, and `colour` is that of the border.
    """
    zoom = max(1, round(side / max(picture.shape[:2])))
    pixels = enlarge(np.repeat(picture, 3 // picture.shape[2], axis=2), zoom)
    height, width = pixels.shape[:2]
    canvas = Image.new("RGB", (width + 2 * _BORDER, height + 2 * _BORDER + _CAPTION), colour)
    canvas.paste(Image.fromarray(pixels), (_BORDER, _BORDER))
    line = (canvas.width // 2, height + _BORDER + (_CAPTION + _BORDER) // 2)
    ImageDraw.Draw(canvas).text(line, caption, fill="black", font=ImageFont.load_default(14), anchor="mm")
    return np.asarray(canvas)


def time_name(place: int) -> str:
    """Return the name of a time: `t` for 0, the last frame that was seen, else `t-1`, `t+1` and so on."""
    return f"t{place:+d}" if place else "t"

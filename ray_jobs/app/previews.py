"""Pictures and clips in a form and size that browsers show."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from data_pipelines.readers.image_file import IMAGE_SUFFIXES, decode_image, to_plain

FILM_SUFFIXES = (".mp4", ".webm")
PLAYED_SUFFIXES = (".gif", *FILM_SUFFIXES)
"""Endings of what a browser plays; shown as it is."""
LONGEST_SIDE = 1600
"""Pixels of a preview's longer side."""
WIDE_RATIO = 1.9
"""Width by height from which a picture counts as wide, such as two that stand beside each other."""
SMALL_SIDE = 256
"""Pixels of the longer side to which a small picture's own pixels are drawn as squares."""


@dataclass(frozen=True)
class Shown:
    """A picture or clip, and the line below it."""

    file: Path
    caption: str
    is_wide: bool = False
    """Whether it needs the complete width of the page."""


def is_showable(file: Path) -> bool:
    """Return whether a file is a picture or clip, by its ending."""
    return file.suffix.lower() in (*IMAGE_SUFFIXES, *PLAYED_SUFFIXES)


def make_preview(original: Shown, folder: Path) -> Shown:
    """Return what a browser can show of a picture: a PNG of 8 bits in the folder; a clip stays as it is.

    Raises BadFileError for a picture that cannot be read.
    """
    if original.file.suffix.lower() in PLAYED_SUFFIXES:
        return original
    picture = to_plain(decode_image(original.file, warns_of_depth=False), original.file)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    factor = max(1, SMALL_SIDE // max(picture.size))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    preview = folder / f"{original.caption}.png"
    preview.parent.mkdir(parents=True, exist_ok=True)
    picture.save(preview)
    is_wide = original.is_wide or picture.width > WIDE_RATIO * picture.height
    return Shown(preview, original.caption, is_wide)

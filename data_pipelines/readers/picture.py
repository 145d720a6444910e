"""Pictures at their own depth and with their transparency, read and written without loss."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import png
import tifffile
from PIL import Image

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.image_file import TURN, decode_image, decode_png16, is_16_bit_grey, is_16_bit_png
from data_pipelines.readers.tiff_layout import is_tiff, read_tiff

Form = Literal["PNG", "TIFF"]
_GREY_MODES = ("1", "L", "LA")
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""How pixels become upright, by the orientation of EXIF."""


@dataclass(frozen=True)
class Picture:
    """Pixels of one picture."""

    colours: np.ndarray
    """uint8 or uint16 [height, width, channels]; one channel for grey, three for red, green and blue."""
    alpha: np.ndarray | None = None
    """Opacity, of the same type, [height, width]; None for a picture without transparency."""
    form: Form = "PNG"
    """The format to write it in: TIFF for one that was a TIFF, else PNG."""
    icc_profile: bytes | None = None
    """What its colours mean."""

    @property
    def largest(self) -> int:
        """The level of white: 255 or 65535."""
        return int(np.iinfo(self.colours.dtype).max)


def read_picture(path: Path) -> Picture:
    """Read the first frame, turned upright, at the depth of the file; palettes are resolved.

    Raises BadFileError naming the file for anything damaged or of another kind.
    """
    head = _head(path)
    form: Form = "TIFF" if is_tiff(head) else "PNG"
    if form == "TIFF" and (found := read_tiff(path)) is not None:
        return _upright(Picture(found.colours, found.alpha, form), found.turn)
    image = decode_image(path, warns_of_depth=False)
    profile = image.info.get("icc_profile")
    if is_16_bit_png(head) or (is_16_bit_grey(image) and "transparency" in image.info):
        return _upright(replace(_decode_png16(path), icc_profile=profile), image.info.get(TURN))
    if is_16_bit_grey(image):
        return Picture(np.asarray(image).astype(np.uint16)[..., None], None, form, profile)
    is_transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    is_grey = image.mode in _GREY_MODES
    if not (is_transparent or is_grey or image.mode in ("P", "RGB")):
        raise BadFileError(path, f"has the colour mode {image.mode}; convert it to RGB or grey with 8 or 16 bits")
    pixels = np.asarray(image.convert(("LA" if is_grey else "RGBA") if is_transparent else ("L" if is_grey else "RGB")))
    if not is_transparent:
        return Picture(pixels[..., None] if is_grey else pixels, None, form, profile)
    return Picture(pixels[..., :-1], pixels[..., -1], form, profile)


def write_picture(picture: Picture) -> bytes:
    """Return the content of a file in the picture's form, without loss."""
    pixels = picture.colours
    if picture.alpha is not None:
        pixels = np.concatenate([pixels, picture.alpha[..., None]], -1)
    if picture.form == "TIFF":
        return _encode_tiff(picture, pixels)
    if pixels.dtype == np.uint16:
        return _encode_png16(pixels)
    stream = BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    image.save(stream, format="PNG", icc_profile=picture.icc_profile)
    return stream.getvalue()


def _upright(picture: Picture, orientation: int | None) -> Picture:
    turn = _TURNS.get(orientation or 1, lambda pixels: pixels)
    alpha = None if picture.alpha is None else np.ascontiguousarray(turn(picture.alpha))
    return replace(picture, colours=np.ascontiguousarray(turn(picture.colours)), alpha=alpha)


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""  # decoding says what it is
    with path.open("rb") as file:
        return file.read(32)


def _decode_png16(path: Path) -> Picture:
    pixels = decode_png16(path.read_bytes())
    if pixels.shape[2] in (2, 4):
        return Picture(np.ascontiguousarray(pixels[..., :-1]), np.ascontiguousarray(pixels[..., -1]))
    return Picture(pixels)


def _encode_png16(pixels: np.ndarray) -> bytes:
    """Write 16 bits a channel, which Pillow does for grey alone."""
    height, width, channels = pixels.shape
    writer = png.Writer(width, height, bitdepth=16, greyscale=channels < 3, alpha=channels in (2, 4))
    stream = BytesIO()
    writer.write_packed(stream, pixels.astype(">u2").reshape(height, -1).view(np.uint8))
    return stream.getvalue()


def _encode_tiff(picture: Picture, pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    tifffile.imwrite(
        stream,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        photometric="rgb" if picture.colours.shape[2] == 3 else "minisblack",
        planarconfig="contig" if pixels.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if picture.alpha is not None else None,
        iccprofile=picture.icc_profile,
        metadata=None,
    )
    return stream.getvalue()

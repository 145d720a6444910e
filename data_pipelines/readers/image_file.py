"""Reader of common image files: one rule for every kind of pixel, read right, or refused or warned of by name.

The rules are the table in docs/data/what_is_read.md.
"""

import logging
import struct
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import png
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from data_pipelines.readers.bad_file import BadFileError, describe_content, printable, refuse_unopenable
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.readers.tiff_layout import DARK, check_tiff, hint_at_dark, is_tiff

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_READABLE = "PNG, JPEG, BMP or TIFF"
_PLAIN_MODES = ("1", "L", "RGB")
_ALPHA_MODES = ("LA", "PA", "RGBA")
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_PNG = b"\x89PNG"
HIGH_RANGE = {16: "PQ", 18: "HLG"}
"""Transfer functions of high dynamic range by their codes in ITU-T H.273."""
TURN = "turn"
"""In the info of a decoded image: the orientation of EXIF that its file states; the image is upright."""
_NO_PIXELS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks of a PNG that do not change its pixels, and may be damaged or too long for Pillow."""

_log = logging.getLogger(__name__)


def load_image(path: Path, shape: ImageShape) -> np.ndarray:
    """Read the first frame as uint8 [channels, height, width]: turned upright, resized to cover, centre-cropped.

    Palettes are resolved, transparency is laid on white, 16-bit grey is scaled to 8 bits.
    Raises BadFileError for anything damaged, of another kind, or suspiciously large.
    """
    return fit_image(to_plain(decode_image(path), path), shape)


def fit_image(image: Image.Image, shape: ImageShape) -> np.ndarray:
    """Return 8-bit grey or RGB as uint8 [channels, height, width], resized to cover and centre-cropped."""
    plain = image.convert("L" if shape.channels == 1 else "RGB")
    if plain.size != (shape.width, shape.height):
        width = min(plain.width, plain.height * shape.width / shape.height)
        height = min(plain.height, plain.width * shape.height / shape.width)
        left, top = (plain.width - width) / 2, (plain.height - height) / 2
        box = (left, top, left + width, top + height)
        plain = plain.resize((shape.width, shape.height), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(plain)
    return pixels[None] if shape.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode_image(path: Path, *, warns_of_depth: bool = True) -> Image.Image:
    """Decode the first frame, turned upright, in the file's colour mode; 16-bit colours are reduced to their upper 8.

    Warns by name of what is passed over: further pages and bands, 16-bit colours (unless `warns_of_depth` is false),
    EXIF that cannot be read. Raises BadFileError for anything damaged or of another kind.
    """
    refuse_unopenable(path)
    content = path.read_bytes()
    if is_tiff(content):
        bands = check_tiff(path)
        if bands is not None:
            return _upright(bands, path)
    if content.startswith(_PNG):
        return _upright(_decode_png(_without_notes(content), path, warns_of_depth=warns_of_depth), path)
    return _upright(_decode(content, path), path)


def _decode_png(content: bytes, path: Path, *, warns_of_depth: bool) -> Image.Image:
    image = _decode(content, path)
    _warn_of_range(content, path)
    if warns_of_depth and is_16_bit_png(content):
        _warn_of_depth(image, content, path)
    return _with_clear_colour(image, content)


def is_16_bit_png(content: bytes) -> bool:
    """Return whether a file begins as a PNG of 16 bits with colours or transparency, which Pillow reduces to 8."""
    return content.startswith(_PNG) and content[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06")  # depth and type


def _warn_of_range(content: bytes, path: Path) -> None:
    """Log a transfer function of high dynamic range (PNG, third edition, chunk cICP; codes of ITU-T H.273)."""
    place = content.find(b"cICP", 0, content.find(b"IDAT")) + 4
    kind = HIGH_RANGE.get(content[place + 1]) if place >= 4 else None
    if kind:
        _log.warning("%s: has colours of high dynamic range (%s); they are used as they lie", printable(path), kind)


def _warn_of_depth(image: Image.Image, content: bytes, path: Path) -> None:
    hint = ""
    if np.asarray(image.convert("RGB")).max() < DARK >> 8:
        levels = decode_png16(content)  # which takes long
        hint = hint_at_dark(levels[..., : 1 if levels.shape[2] == 2 else 3])
    _log.warning("%s: has 16 bits per colour; the upper 8 are used%s", printable(path), hint)


def decode_png16(content: bytes) -> np.ndarray:
    """Decode a PNG of 16 bits as uint16 [height, width, 1 to 4], with the opacity last where it has one."""
    width, height, lines, info = png.Reader(bytes=content).asDirect()
    return np.vstack([np.asarray(line, np.uint16) for line in lines]).reshape(height, width, info["planes"])


def _with_clear_colour(image: Image.Image, content: bytes) -> Image.Image:
    """Return a PNG whose one transparent colour (its chunk tRNS) Pillow compares with the pixels as it holds them.

    Pillow scales grey of 2 or 4 bits to 8, and 16-bit colours too, but leaves the transparent one as the file has it.
    """
    if "transparency" not in image.info:
        return image
    depth, kind = content[24:26]
    if (depth, kind) in ((2, 0), (4, 0)):
        image.info["transparency"] *= 255 // (2**depth - 1)
    elif (depth, kind) == (16, 2):
        clear = Image.fromarray((decode_png16(content) >> 8).astype(np.uint8))
        clear.info = {name: value for name, value in image.info.items() if name != "transparency"}
        return clear
    return image


def _decode(content: bytes, path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # of damaged metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if content.startswith(_PNG):
                with Image.open(BytesIO(content), formats=_FORMATS) as image:
                    image.verify()  # checks the sums inside, and leaves the image unusable
            with Image.open(BytesIO(content), formats=_FORMATS) as image:
                image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise BadFileError(path, f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels; cut it into tiles") from error
    except UnidentifiedImageError as error:
        what = describe_content(path)
        known = what.split(" ")[1] if what.endswith(" image") else ""
        if known in _FORMATS:
            raise BadFileError(
                path, f"cannot be read as an image ({what}, damaged); copy it again, or remove it"
            ) from error
        raise BadFileError(path, f"is {what}; expected {_READABLE}: convert it, or remove it") from error
    except Exception as error:
        # Pillow's decoders fail with many kinds of error on a damaged file.
        fault = f"cannot be read as an image ({describe_content(path)}, damaged or cut off)"
        raise BadFileError(path, f"{fault}; copy it again, or remove it") from error
    if not all(image.size):
        raise BadFileError(path, f"has no pixels ({image.width}x{image.height}); replace or remove the file")
    if caught:
        _log.warning("%s: its metadata cannot be read whole; its pixels are used as they lie", printable(path))
    return image


def _upright(image: Image.Image, path: Path) -> Image.Image:
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
        upright = ImageOps.exif_transpose(image)
        upright.info[TURN] = turn
        return upright
    except Exception as error:
        # Pillow's reader of EXIF fails with many kinds of error on damaged bytes; the pixels are whole.
        _log.warning(
            "%s: its EXIF cannot be read (%s), so it is used as it lies", printable(path), type(error).__name__
        )
        return image


def _without_notes(content: bytes) -> bytes:
    """Return a PNG without its texts and colour profile, which Pillow refuses when they are long or damaged."""
    kept, place = [content[:8]], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        end = place + 12 + length
        if end > len(content):
            break
        if content[place + 4 : place + 8] not in _NO_PIXELS:
            kept.append(content[place:end])
        place = end
    return b"".join([*kept, content[place:]])


def is_16_bit_grey(image: Image.Image) -> bool:
    """Return whether the decoded image holds 16-bit grey levels."""
    return image.mode in _SIXTEEN_BIT_MODES


def to_plain(image: Image.Image, path: Path) -> Image.Image:
    """Convert to 8-bit grey or RGB: 16 bits scaled, palettes resolved, transparency on white.

    Warns by name where 16 bits are reduced or something is transparent. Raises BadFileError for other modes.
    """
    if is_16_bit_grey(image):
        wide = np.asarray(image).astype(np.float64)
        _log.warning("%s: has 16-bit grey levels; they are scaled to 8 bits%s", printable(path), hint_at_dark(wide))
        grey = np.floor(wide * 255 / 65535 + 0.5).astype(np.uint8)
        is_clear = wide == image.info.get("transparency", -1)
        if is_clear.any():
            _log.warning("%s: is transparent in part; that part is laid on white%s", printable(path), "")
        return Image.fromarray(np.where(is_clear, np.uint8(255), grey))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        coloured = image.convert("RGBA")
        if np.asarray(coloured)[..., 3].min() < 255:
            band = " (if its fourth band is infrared and no transparency, save the other three alone)"
            hint = band if path.suffix.lower() in (".tif", ".tiff") else ""
            _log.warning("%s: is transparent in part; that part is laid on white%s", printable(path), hint)
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    if image.mode == "P":
        return image.convert("RGB")
    if image.mode in _PLAIN_MODES:
        return image
    raise BadFileError(path, f"has the colour mode {image.mode}; convert it to RGB or grey with 8 or 16 bits")

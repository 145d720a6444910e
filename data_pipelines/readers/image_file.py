"""Reader of common image files, to pixels of a fixed shape."""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data_pipelines.readers.image_shape import ImageShape

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_PLAIN_MODES = ("1", "L", "RGB")
_ALPHA_MODES = ("LA", "PA", "RGBA")
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")


def load_image(path: Path, shape: ImageShape) -> np.ndarray:
    """Read the first frame as uint8 [channels, height, width]: turned upright, resized to cover, centre-cropped.

    Palettes are resolved, transparency is laid on white, 16-bit grey is scaled to 8 bits.
    Raises ValueError naming the file for anything damaged, of another kind, or suspiciously large.
    """
    plain = to_plain(decode_image(path), path).convert("L" if shape.channels == 1 else "RGB")
    pixels = np.asarray(_cover(plain, shape))
    return pixels[None] if shape.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode_image(path: Path) -> Image.Image:
    """Decode the first frame, turned upright, in the file's colour mode. Raises ValueError naming the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(path.read_bytes())
    except Exception as error:
        # Pillow's decoders fail with many kinds of error on a damaged file.
        raise ValueError(f"{path}: cannot be read as an image ({error}); replace or remove the file") from error


def _decode(content: bytes) -> Image.Image:
    with Image.open(BytesIO(content), formats=_FORMATS) as image:
        image.verify()  # checks the sums inside a PNG, and leaves the image unusable
    with Image.open(BytesIO(content), formats=_FORMATS) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def is_16_bit_grey(image: Image.Image) -> bool:
    """Return whether the decoded image holds 16-bit grey levels."""
    return image.mode in _SIXTEEN_BIT_MODES


def to_plain(image: Image.Image, path: Path) -> Image.Image:
    """Convert to 8-bit grey or RGB: 16 bits scaled, palettes resolved, transparency on white.

    Raises ValueError for other modes.
    """
    if is_16_bit_grey(image):
        wide = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.floor(wide * 255 / 65535 + 0.5).astype(np.uint8))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    if image.mode == "P":
        return image.convert("RGB")
    if image.mode in _PLAIN_MODES:
        return image
    raise ValueError(f"{path}: has the colour mode {image.mode}; convert it to RGB or grey with 8 or 16 bits")


def _cover(image: Image.Image, shape: ImageShape) -> Image.Image:
    if image.size == (shape.width, shape.height):
        return image
    side = min(image.size)  # the target is square, so the largest centred square is what remains of the image
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((shape.width, shape.height), Image.Resampling.BICUBIC, box=box)

"""Check of a TIFF file's layout of pixels, which decoders take for another one without a word.

The layouts are those of TIFF 6.0, sections 3 to 8.
Pillow reads the bytes of 16-bit planes as pixels, drops bands, and shows a fourth band as transparency.
"""

import logging
import struct
import zlib
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from data_pipelines.readers.bad_file import BadFileError, printable

_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_GREY, _RGB, _PALETTE, _YCBCR = (0, 1), 2, 3, 6
_PREMULTIPLIED, _ALPHA = 1, 2
DARK = 4096
"""Least level of 16 bits above which a picture is not taken for one of 12 bits."""
_DEFLATE = 8
_UNPACKED_BY_TIFFFILE = (1, _DEFLATE, 32946)
"""None, and Deflate by its two numbers."""
_UNPACKED_BY_PILLOW = (5, 32773, 34925, 50000)
"""LZW, PackBits, LZMA and Zstandard, for which tifffile needs a further package."""
_LONG, _ORIENTATION = 4, 0x0112
_log = logging.getLogger(__name__)


def is_tiff(content: bytes) -> bool:
    """Return whether a file begins as a TIFF or BigTIFF."""
    return content[:4] in _MARKS


def hint_at_dark(levels: np.ndarray) -> str:
    """Return advice, which begins with a semicolon, where 16-bit levels use a small part of the range; else nothing."""
    brightest = int(levels.max())
    is_dark = 0 < brightest < DARK
    return f"; its brightest level is {brightest} of 65535, so it becomes very dark: scale it first" if is_dark else ""


@dataclass(frozen=True)
class TiffColours:
    """Colours of a page, as they lie in the file."""

    colours: np.ndarray
    """uint8 or uint16 [height, width, channels], of 1 or 3 channels, with white as the largest level."""
    alpha: np.ndarray | None
    """Of the same type, [height, width]; the colours are not multiplied by it."""
    turn: int | None
    """Orientation that the file states, as in EXIF."""


def check_tiff(path: Path) -> Image.Image | None:
    """Return the first page's colours where Pillow would take them otherwise than meant; None where it reads it right.

    The image keeps the orientation that the file states. Bands beyond red, green and blue are left out and 16-bit
    colours reduced to their upper 8, with a warning that names the file. Raises BadFileError for layouts that have no
    one meaning as grey levels or colours, and for too many pixels, before any is decoded.
    """
    found = read_tiff(path)
    if found is None:
        return None
    colours, alpha = found.colours, found.alpha
    if colours.shape[2] == 3 or alpha is not None:
        if colours.dtype == np.uint16:
            hint = hint_at_dark(colours)
            _log.warning("%s: has 16 bits per colour; the upper 8 are used%s", printable(path), hint)
            colours = (colours >> 8).astype(np.uint8)
            alpha = None if alpha is None else (alpha >> 8).astype(np.uint8)
        colours = colours if alpha is None else np.concatenate([colours, alpha[..., None]], -1)
    image = Image.fromarray(np.ascontiguousarray(colours[..., 0] if colours.shape[2] == 1 else colours))
    if found.turn is not None:
        image.getexif()[_ORIENTATION] = found.turn
    return image


def read_tiff(path: Path) -> TiffColours | None:
    """Return the first page's colours at their own depth where Pillow would take them otherwise than meant.

    None where Pillow reads it right. Bands beyond red, green and blue are left out, with a warning. Raises BadFileError
    as `check_tiff`.
    """
    try:
        with tifffile.TiffFile(path) as file:
            num_pages, page = len(file.pages), file.pages[0].aspage()
            if page.is_reduced:
                raise BadFileError(path, "begins with a small copy of its picture; save the whole one alone")
            layout = _Layout(path, page)
            arranged = layout.arrange(_decode(path, page)) if layout.needs_own_decoder else None
            turn = page.tags.valueof(_ORIENTATION)
    except BadFileError:
        raise
    except Exception as error:
        # tifffile and Pillow fail with many kinds of error on a damaged file.
        fault = "cannot be read as a TIFF: it is damaged or cut off"
        raise BadFileError(path, f"{fault}; copy it again, or remove it") from error
    if num_pages > 1:
        _log.warning("%s: holds %d pages; the first is used", printable(path), num_pages)
    return None if arranged is None else TiffColours(*arranged, turn if isinstance(turn, int) else None)


class _Layout:
    """How the pixels of a page lie in the file. Raises BadFileError for what is neither grey nor colour."""

    def __init__(self, path: Path, page: tifffile.TiffPage) -> None:
        self.path = path
        self.samples, self.bits = page.samplesperpixel, page.bitspersample
        self.photometric, self.is_planar = int(page.photometric), int(page.planarconfig) == 2
        self.extra = tuple(int(kind) for kind in page.extrasamples)
        self.is_alpha = bool(self.extra) and self.extra[0] in (_PREMULTIPLIED, _ALPHA) and len(self.extra) == 1
        self._refuse_numbers(int(page.sampleformat))
        self.palette = self._byte_palette(page.colormap) if self.photometric == _PALETTE else None
        self._refuse_colours()
        limit = Image.MAX_IMAGE_PIXELS
        if limit and page.imagewidth * page.imagelength > limit:
            raise BadFileError(path, f"has more than {limit:,} pixels; cut it into tiles")

    @property
    def needs_own_decoder(self) -> bool:
        """Whether Pillow would take the pixels for others, or for none."""
        if self.photometric == _RGB:
            return self.bits == 16 or (bool(self.extra) and (self.is_planar or not self.is_alpha))
        if self.photometric == _PALETTE:
            return self.palette is not None
        return self.photometric in _GREY and (self.samples == 2 or (self.photometric == 0 and self.bits == 16))

    def arrange(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return colours [height, width, channels] of the decoded page with white as the largest level, and alpha."""
        if not pixels.size:
            raise BadFileError(self.path, "has no pixels; replace or remove the file")
        if self.palette is not None:
            _log.warning("%s: the levels of its palette are of 8 bits instead of 16, and used so", printable(self.path))
            return self.palette[pixels], None
        if self.bits not in (8, 16):
            raise BadFileError(self.path, f"has {self.bits} bits per colour; save it with 8 or 16")
        if self.samples == 1:
            return (65535 - pixels)[..., None], None
        if self.is_planar:
            pixels = np.moveaxis(pixels, 0, -1)
        num_colours = 3 if self.photometric == _RGB else 1
        colours, rest = pixels[..., :num_colours], pixels[..., num_colours : num_colours + 1]
        if self.is_alpha and self.extra[0] == _PREMULTIPLIED:
            colours = _divide(colours, rest)
        if self.photometric == 0:
            colours = np.iinfo(colours.dtype).max - colours
        if self.is_alpha:
            return colours, rest[..., 0]
        if self.samples > num_colours:
            _log.warning(
                "%s: has %d bands; the first three are used as red, green and blue", printable(self.path), self.samples
            )
        return colours, None

    def _byte_palette(self, palette: np.ndarray | None) -> np.ndarray | None:
        """Return the colours of a palette whose levels go to 255, uint8 [count, 3]; None for one that goes to 65535.

        TIFF 6.0 (section 5) has levels of 16 bits, and by them such a picture would be black.
        """
        if palette is None or not 0 < palette.max() < 256:
            return None
        if self.bits != 8:
            fault = f"has a palette of 8-bit levels, and {self.bits} bits per pixel; save it anew, or as RGB"
            raise BadFileError(self.path, fault)
        return palette.T.astype(np.uint8)

    def _refuse_numbers(self, sample_format: int) -> None:
        kind = {_SIGNED: "signed whole numbers", _FLOAT: "floating-point numbers"}.get(sample_format)
        if kind is None and sample_format != _UNSIGNED:
            kind = f"numbers of format {sample_format}"
        if kind is None and self.bits not in (1, 4, 8, 16):
            kind = "whole numbers"
        if kind:
            raise BadFileError(
                self.path, f"its pixels are {self.bits}-bit {kind}; scale them to 8 or 16 bits without sign and save it"
            )

    def _refuse_colours(self) -> None:
        if self.photometric in (_PALETTE, _YCBCR) or (self.photometric == _RGB and self.samples >= 3):
            return
        if self.photometric in _GREY and (self.samples == 1 or (self.samples == 2 and self.is_alpha)):
            return
        if self.photometric in _GREY:
            raise BadFileError(
                self.path,
                f"has {self.samples} bands without colours; choose three of them as red, green and blue and save it "
                "(`gdal_translate -b R -b G -b B`)",
            )
        name = getattr(tifffile.PHOTOMETRIC(self.photometric), "name", self.photometric)
        raise BadFileError(self.path, f"has the colours {name}; convert it to RGB or grey with 8 or 16 bits")


def _divide(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the colours that were multiplied by their opacity."""
    largest = np.iinfo(colours.dtype).max
    plain = colours.astype(np.float32) * (largest / np.maximum(alpha, 1).astype(np.float32))
    return np.minimum(np.floor(plain + 0.5), largest).astype(colours.dtype)


def _decode(path: Path, page: tifffile.TiffPage) -> np.ndarray:
    kind = int(page.compression)
    if kind in _UNPACKED_BY_TIFFFILE:
        return page.asarray()
    if kind not in _UNPACKED_BY_PILLOW:
        name = getattr(tifffile.COMPRESSION(kind), "name", kind)
        raise BadFileError(path, f"is compressed by {name}, which is not read for its colours; save it with Deflate")
    with tifffile.TiffFile(_pack_anew(path)) as file:
        return file.pages[0].aspage().asarray()


def _pack_anew(path: Path) -> BytesIO:
    """Return the file with the strips or tiles of its first page in Deflate, which tifffile unpacks by itself."""
    content = path.read_bytes()
    copy, places, sizes = BytesIO(content), list[int](), list[int]()
    with tifffile.TiffFile(copy, mode="r+") as file:
        page = file.pages[0].aspage()
        for number, (place, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
            part = _unpack(path, page, number, content[place : place + size])
            places.append(copy.seek(0, SEEK_END))
            sizes.append(copy.write(zlib.compress(part, 1)))
        kinds = ("TileOffsets", "TileByteCounts") if page.is_tiled else ("StripOffsets", "StripByteCounts")
        page.tags[kinds[0]].overwrite(places, dtype=_LONG)
        page.tags[kinds[1]].overwrite(sizes, dtype=_LONG)
        page.tags["Compression"].overwrite(_DEFLATE)
    copy.seek(0)
    return copy


def _unpack(path: Path, page: tifffile.TiffPage, number: int, content: bytes) -> bytes:
    """Unpack one strip or tile with Pillow, as a TIFF of grey bytes; a predictor is left for later."""
    width, height = page.tilewidth, page.tilelength
    if not page.is_tiled:
        num_rows = min(page.rowsperstrip, page.imagelength)
        num_strips = -(-page.imagelength // num_rows)
        width, height = page.imagewidth, min(num_rows, page.imagelength - number % num_strips * num_rows)
    samples = 1 if int(page.planarconfig or 1) == 2 else page.samplesperpixel
    width = (width * samples * page.bitspersample + 7) // 8
    if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
        raise BadFileError(path, f"has a compressed part of {width * height:,} bytes; save it with Deflate")
    values = {256: width, 257: height, 258: 8, 259: int(page.compression), 262: 1, 273: 122, 277: 1, 278: height}
    values[279] = len(content)
    entries = b"".join(struct.pack("<HHII", tag, _LONG, 1, value) for tag, value in values.items())
    head = struct.pack("<2sHIH", b"II", 42, 8, len(values)) + entries + bytes(4)  # 122 bytes
    with Image.open(BytesIO(head + content), formats=("TIFF",)) as image:
        return image.tobytes()

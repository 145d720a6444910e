"""Check of a TIFF file's layout of pixels, which decoders take for another one without a word.

The layouts are those of TIFF 6.0, sections 3 to 8.
Pillow reads the bytes of 16-bit planes as pixels, drops bands, and shows a fourth band as transparency.
"""

import logging
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from data_pipelines.readers.bad_file import BadFileError, printable

_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_GREY, _RGB, _PALETTE, _YCBCR = (0, 1), 2, 3, 6
_DARK = 4096
_log = logging.getLogger(__name__)


def is_tiff(content: bytes) -> bool:
    """Return whether a file begins as a TIFF or BigTIFF."""
    return content[:4] in _MARKS


def hint_at_dark(levels: np.ndarray) -> str:
    """Return advice, which begins with a semicolon, where 16-bit levels use a small part of the range; else nothing."""
    brightest = int(levels.max())
    is_dark = 0 < brightest < _DARK
    return f"; its brightest level is {brightest} of 65535, so it becomes very dark: scale it first" if is_dark else ""


def check_tiff(path: Path) -> Image.Image | None:
    """Return the first page's colours where Pillow would take them otherwise than meant; None where it reads it right.

    Bands beyond red, green and blue are left out and 16-bit colours reduced to their upper 8, with a warning that names
    the file. Raises BadFileError for layouts that have no one meaning as grey levels or colours.
    """
    try:
        with tifffile.TiffFile(path) as file:
            num_pages, page = len(file.pages), file.pages[0].aspage()
            kind = _Layout(path, page)
            colours = kind.reduce(page.asarray()) if kind.needs_own_decoder else None
    except BadFileError:
        raise
    except Exception as error:
        # tifffile fails with many kinds of error on a damaged file, and without the codec of a rare compression.
        fault = "cannot be read as a TIFF: it is damaged, or compressed in a rare way"
        raise BadFileError(path, f"{fault}; copy it again, or save it without compression") from error
    if num_pages > 1:
        _log.warning("%s: holds %d pages; the first is used", printable(path), num_pages)
    return colours


class _Layout:
    """How the pixels of a page lie in the file. Raises BadFileError for what is neither grey nor colour."""

    def __init__(self, path: Path, page: tifffile.TiffPage) -> None:
        self.path = path
        self.samples, self.bits = page.samplesperpixel, page.bitspersample
        self.photometric, self.is_planar = int(page.photometric), int(page.planarconfig) == 2
        self.extra = tuple(int(kind) for kind in page.extrasamples)
        self.is_alpha = bool(self.extra) and self.extra[0] in (1, 2) and len(self.extra) == 1
        self._refuse_numbers(int(page.sampleformat))
        self._refuse_colours()

    @property
    def needs_own_decoder(self) -> bool:
        """Whether Pillow would take the pixels for others."""
        is_inverted = self.photometric == 0 and self.bits == 16
        is_wide_colour = self.photometric == _RGB and self.bits == 16
        return is_wide_colour or is_inverted or (self.photometric == _RGB and bool(self.extra) and not self.is_alpha)

    def reduce(self, pixels: np.ndarray) -> Image.Image:
        """Return the decoded page as 8-bit colours, or as 16-bit grey with white as the largest level."""
        if not pixels.size:
            raise BadFileError(self.path, "has no pixels; replace or remove the file")
        if self.photometric == 0:
            return Image.fromarray(65535 - pixels)
        if self.is_planar:
            pixels = np.moveaxis(pixels, 0, -1)
        if self.bits == 16:
            hint = hint_at_dark(pixels[..., :3])
            _log.warning("%s: has 16 bits per colour; the upper 8 are used%s", printable(self.path), hint)
            pixels = (pixels >> 8).astype(np.uint8)
        if self.is_alpha:
            return Image.fromarray(np.ascontiguousarray(pixels[..., :4]))
        if self.extra:
            _log.warning(
                "%s: has %d bands; the first three are used as red, green and blue", printable(self.path), self.samples
            )
        return Image.fromarray(np.ascontiguousarray(pixels[..., :3]))

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

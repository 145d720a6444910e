"""TIFF layouts: read as they are meant, or refused or warned of by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.image_file import decode_image, to_plain

WEDGE = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (8, 1))
WIDE = WEDGE.astype(np.uint16) * 257
COLOURS = np.stack([WEDGE, 255 - WEDGE, WEDGE // 2], axis=-1)
WIDE_COLOURS = COLOURS.astype(np.uint16) * 257


def _read(folder: Path, pixels: np.ndarray, **layout: Any) -> np.ndarray:
    tifffile.imwrite(folder / "a.tif", pixels, **layout)
    return np.asarray(to_plain(decode_image(folder / "a.tif"), folder / "a.tif").convert("RGB"))


@pytest.mark.parametrize(
    ("pixels", "layout", "words"),
    [
        (COLOURS, {}, ""),
        (np.moveaxis(COLOURS, -1, 0), {"planarconfig": "separate"}, ""),
        (WIDE_COLOURS, {}, "16 bits per colour; the upper 8 are used"),
        (np.moveaxis(WIDE_COLOURS, -1, 0), {"planarconfig": "separate"}, "16 bits per colour"),
        (np.concatenate([COLOURS, COLOURS[..., :1]], -1), {"extrasamples": ["unspecified"]}, "has 4 bands; the first"),
        (np.concatenate([COLOURS, COLOURS[..., :2]], -1), {"extrasamples": ["unspecified"] * 2}, "has 5 bands"),
    ],
)
def test_colours_are_read_as_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pixels: np.ndarray, layout: dict[str, Any], words: str
) -> None:
    np.testing.assert_array_equal(_read(tmp_path, pixels, photometric="rgb", **layout), COLOURS)
    assert words in caplog.text and bool(words) == ("a.tif" in caplog.text)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("grey", [WEDGE, WIDE])
def test_grey_is_read_as_meant(tmp_path: Path, grey: np.ndarray, kind: str, order: Any) -> None:
    stored = grey if kind == "minisblack" else np.iinfo(grey.dtype).max - grey
    read = _read(tmp_path, stored, photometric=kind, byteorder=order)
    np.testing.assert_array_equal(read, np.stack([WEDGE] * 3, axis=-1))


@pytest.mark.parametrize("pixels", [(WIDE >> 4), np.stack([WIDE >> 4] * 3, -1)])
def test_twelve_bits_in_sixteen_get_a_hint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pixels: np.ndarray
) -> None:
    _read(tmp_path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    assert "becomes very dark" in caplog.text and "scale it first" in caplog.text


def test_a_fourth_band_called_alpha_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    four = np.concatenate([COLOURS, np.full((8, 32, 1), 10, np.uint8)], -1)
    _read(tmp_path, four, photometric="rgb", extrasamples=["unassalpha"])
    assert "a.tif: is transparent in part" in caplog.text and "infrared" in caplog.text


def test_further_pages_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _read(tmp_path, np.stack([WEDGE, 255 - WEDGE]), photometric="minisblack")
    assert "a.tif: holds 2 pages; the first is used" in caplog.text


@pytest.mark.parametrize(
    ("pixels", "layout", "words"),
    [
        (WEDGE.astype(np.int8), {}, "8-bit signed whole numbers"),
        (WIDE.astype(np.int16), {}, "16-bit signed whole numbers"),
        (WIDE.astype(np.uint32), {}, "32-bit whole numbers"),
        (WEDGE.astype(np.float32), {}, "32-bit floating-point numbers"),
        (np.stack([WEDGE] * 4, -1), {"planarconfig": "contig"}, "has 4 bands without colours"),
        (np.stack([WEDGE] * 4, -1), {"photometric": "separated"}, "has the colours SEPARATED"),
    ],
)
def test_what_has_no_one_meaning_is_refused(
    tmp_path: Path, pixels: np.ndarray, layout: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadFileError, match=rf"a\.tif: .*{words}; "):
        _read(tmp_path, pixels, **{"photometric": "minisblack", **layout})

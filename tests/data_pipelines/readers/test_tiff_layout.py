"""TIFF layouts: read as they are meant, or refused or warned of by name."""

import zlib
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.image_file import decode_image, to_plain

WEDGE = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (8, 1))
WIDE = WEDGE.astype(np.uint16) * 257
COLOURS = np.stack([WEDGE, 255 - WEDGE, WEDGE // 2], axis=-1)
WIDE_COLOURS = COLOURS.astype(np.uint16) * 257
OPAQUE = np.full((8, 32, 1), 65535, np.uint16)


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


def test_a_small_copy_before_the_picture_is_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLOURS[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(COLOURS, photometric="rgb")
    with pytest.raises(BadFileError, match=r"a\.tif: begins with a small copy of its picture; save the whole one"):
        decode_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("pixels", "layout", "words"),
    [
        (WEDGE.astype(np.int8), {}, "8-bit signed whole numbers"),
        (WIDE.astype(np.int16), {}, "16-bit signed whole numbers"),
        (WIDE.astype(np.uint32), {}, "32-bit whole numbers"),
        (WEDGE.astype(np.float32), {}, "32-bit floating-point numbers"),
        (np.stack([WEDGE] * 4, -1), {"planarconfig": "contig"}, "has 4 bands without colours"),
        (np.stack([WEDGE] * 4, -1), {"photometric": "separated"}, "has the colours SEPARATED"),
        (
            np.stack([WEDGE > 99] * 5, -1),
            {"photometric": "rgb", "extrasamples": ["unspecified"] * 2},
            "has 1 bits per colour",
        ),
    ],
)
def test_what_has_no_one_meaning_is_refused(
    tmp_path: Path, pixels: np.ndarray, layout: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadFileError, match=rf"a\.tif: .*{words}; "):
        _read(tmp_path, pixels, **{"photometric": "minisblack", **layout})


FIVE = np.concatenate([COLOURS, COLOURS[..., :2]], -1)
UNNAMED = {"photometric": "rgb", "extrasamples": ["unspecified"] * 2}


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("pixels", "layout"),
    [(WIDE_COLOURS, {"photometric": "rgb"}), (FIVE, UNNAMED), (65535 - WIDE, {"photometric": "miniswhite"})],
)
def test_each_orientation_is_turned_upright(
    tmp_path: Path, pixels: np.ndarray, layout: dict[str, Any], turn: int
) -> None:
    plain = Image.fromarray(COLOURS if pixels.ndim == 3 else np.stack([WEDGE] * 3, -1))
    plain.getexif()[0x0112] = turn
    read = _read(tmp_path, pixels, extratags=[(0x0112, "H", 1, turn, True)], **layout)
    np.testing.assert_array_equal(read, np.asarray(ImageOps.exif_transpose(plain)))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("kind", "colour"), [("rgb", (1, 0, 0)), ("minisblack", (1,))])
def test_premultiplied_colours_are_divided_by_alpha(
    tmp_path: Path, kind: str, colour: tuple[int, ...], bits: int
) -> None:
    half = 1 << (bits - 1)
    pixels = np.full((4, 6, len(colour) + 1), half, f"uint{bits}")
    pixels[..., :-1] = np.array(colour) * half
    read = _read(tmp_path, pixels, photometric=kind, extrasamples=["assocalpha"], planarconfig="contig")
    expected = [255, 127, 127] if kind == "rgb" else [255, 255, 255]
    np.testing.assert_array_equal(read, np.broadcast_to(expected, (4, 6, 3)))


def _pack(content: bytes, width: int, kind: str) -> bytes:
    """Compress bytes by a kind that tifffile cannot write."""
    height, file = len(content) // width, BytesIO()
    Image.frombytes("L", (width, height), content).save(file, "TIFF", compression=kind, tiffinfo={278: height})
    file.seek(0)
    with tifffile.TiffFile(file) as packed:
        (place,), (size,) = packed.pages[0].dataoffsets, packed.pages[0].databytecounts
    return file.getvalue()[place : place + size]


def _change_compression(path: Path, width: int, kind: str) -> None:
    """Turn a file in Deflate, whose strips or tiles have rows of `width` bytes, to another compression."""
    content, number = path.read_bytes(), {"tiff_lzw": 5, "packbits": 32773, "zstd": 50000}[kind]
    with tifffile.TiffFile(path, mode="r+") as file:
        tags, handle = file.pages[0].aspage().tags, file.filehandle
        parts = []
        for place, size in zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True):
            part = _pack(zlib.decompress(content[place : place + size]), width, kind)
            handle.seek(0, SEEK_END)
            parts.append((handle.tell(), handle.write(part)))
        tags[324 if 324 in tags else 273].overwrite([place for place, _ in parts], dtype=4)
        tags[325 if 325 in tags else 279].overwrite([size for _, size in parts], dtype=4)
        tags["Compression"].overwrite(number)


CLEAR = {"extrasamples": ["unassalpha"]}
GREY_ALPHA = np.stack([WIDE, OPAQUE[..., 0]])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["tiff_lzw", "packbits", "zstd"])
@pytest.mark.parametrize(
    ("pixels", "layout", "width"),
    [
        (WIDE_COLOURS, {"rowsperstrip": 3}, 192),
        (WIDE_COLOURS, {"predictor": True}, 192),
        (WIDE_COLOURS, {"tile": (16, 16), "predictor": True}, 96),
        (np.moveaxis(WIDE_COLOURS, -1, 0), {"rowsperstrip": 3, "planarconfig": "separate"}, 64),
        (np.concatenate([WIDE_COLOURS, OPAQUE], -1), CLEAR, 256),
        (FIVE, UNNAMED, 160),
        (np.moveaxis(GREY_ALPHA, 0, -1), {"photometric": "minisblack", **CLEAR, "planarconfig": "contig"}, 128),
        (GREY_ALPHA, {"photometric": "minisblack", **CLEAR, "planarconfig": "separate"}, 64),
        ((GREY_ALPHA >> 8).astype(np.uint8), {"photometric": "minisblack", **CLEAR, "planarconfig": "separate"}, 32),
        (65535 - WIDE, {"photometric": "miniswhite"}, 64),
    ],
)
def test_common_compressions_are_read_in_every_layout(
    tmp_path: Path, pixels: np.ndarray, layout: dict[str, Any], width: int, kind: str, order: Any
) -> None:
    layout = {"photometric": "rgb", "compression": "zlib", "byteorder": order, **layout}
    plain = _read(tmp_path, pixels, **layout)
    _change_compression(tmp_path / "a.tif", width, kind)
    read = np.asarray(to_plain(decode_image(tmp_path / "a.tif"), tmp_path / "a.tif").convert("RGB"))
    np.testing.assert_array_equal(read, plain)
    expected = COLOURS if layout["photometric"] == "rgb" else np.stack([WEDGE] * 3, -1)
    np.testing.assert_array_equal(read, expected)


def test_another_compression_is_refused_by_its_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", FIVE, **UNNAMED)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].aspage().tags["Compression"].overwrite(7)
    with pytest.raises(BadFileError) as caught:
        decode_image(tmp_path / "a.tif")
    words = "is compressed by JPEG, which is not read for its colours; save it with Deflate"
    assert str(caught.value) == f"{tmp_path / 'a.tif'}: {words}"


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", WIDE_COLOURS, photometric="rgb", compression="zlib")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 255)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_: pytest.fail("decoded"))
    with pytest.raises(BadFileError, match=r"a\.tif: has more than 255 pixels; cut it into tiles"):
        decode_image(tmp_path / "a.tif")


def test_a_palette_of_8_bit_levels_is_not_black(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    levels = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2]).astype(np.uint16)
    for colours, words in ((levels * 257, ""), (levels, "a.tif: the levels of its palette are of 8 bits instead of")):
        read = _read(tmp_path, WEDGE, photometric="palette", colormap=colours)
        np.testing.assert_array_equal(read, levels.T[WEDGE])
        assert words in caplog.text and bool(words) == bool(caplog.text)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_transparency_in_a_plane_of_its_own_is_read(tmp_path: Path, kind: str) -> None:
    half = np.full((8, 32, 1), 128, np.uint8)
    colours = COLOURS // 2 if kind == "assocalpha" else COLOURS
    planes = np.moveaxis(np.concatenate([colours, half], -1), -1, 0)
    read = _read(tmp_path, planes, photometric="rgb", planarconfig="separate", extrasamples=[kind])
    shown = colours if kind == "assocalpha" else COLOURS * (128 / 255)
    np.testing.assert_allclose(read, shown + 127, atol=1)

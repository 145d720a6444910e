"""Single image files: each kind becomes the pixels that the rule says, each damage is named."""

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import png
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.image_file import fit_image, load_image
from data_pipelines.readers.image_shape import ImageShape

GREY, COLOUR = ImageShape(1, 8, 8), ImageShape(3, 8, 8)


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def _save(folder: Path, image: Image.Image, name: str = "image.png", **options: Any) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path: Path, name: str) -> None:
    pixels = _noise(8, 8, 3)
    loaded = load_image(_save(tmp_path, Image.fromarray(pixels), name), COLOUR)
    np.testing.assert_array_equal(loaded, pixels.transpose(2, 0, 1))
    assert loaded.dtype == np.uint8


def test_a_jpeg_keeps_its_pixels_roughly(tmp_path: Path) -> None:
    pixels = np.broadcast_to(np.arange(0, 256, 32, dtype=np.uint8), (8, 8)).copy()
    loaded = load_image(_save(tmp_path, Image.fromarray(pixels), "a.jpg", quality=95), GREY)
    assert np.abs(loaded[0].astype(int) - pixels).max() < 6


def test_grey_is_repeated_for_colour_and_colour_weighed_for_grey(tmp_path: Path) -> None:
    grey = _noise(8, 8)
    loaded = load_image(_save(tmp_path, Image.fromarray(grey)), COLOUR)
    np.testing.assert_array_equal(loaded, np.stack([grey] * 3))
    colour = _noise(8, 8, 3)
    loaded = load_image(_save(tmp_path, Image.fromarray(colour)), GREY)
    expected = colour.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(loaded[0] - expected).max() <= 1


@pytest.mark.parametrize("is_wide", [True, False])
def test_the_centre_of_a_long_image_is_kept(tmp_path: Path, is_wide: bool) -> None:
    centre = _noise(8, 8)
    padded = np.concatenate([np.zeros((8, 6), np.uint8), centre, np.zeros((8, 6), np.uint8)], axis=1)
    path = _save(tmp_path, Image.fromarray(padded if is_wide else padded.T.copy()))
    np.testing.assert_array_equal(load_image(path, GREY)[0], centre if is_wide else centre.T)


def test_an_oblong_shape_keeps_proportions() -> None:
    pixels = np.zeros((20, 60), np.uint8)
    pixels[:, 20:40] = 255  # a square in the middle
    row = fit_image(Image.fromarray(pixels), ImageShape(1, 8, 12))[0, 4]
    assert (row[3:9] > 230).all() and (row[[0, 11]] < 25).all()


@pytest.mark.parametrize(("width", "height"), [(43, 57), (57, 43), (1, 3), (97, 98)])
def test_no_size_is_cut_out_beyond_its_edge(width: int, height: int) -> None:
    for shape in (ImageShape(1, 47, 33), ImageShape(1, 33, 47), ImageShape(1, 360, 640)):
        pixels = np.full((height, width), 90, np.uint8)
        assert (fit_image(Image.fromarray(pixels), shape) == np.full(shape, 90)).all()


def test_shrinking_averages_instead_of_skipping(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    loaded = load_image(_save(tmp_path, Image.fromarray(stripes)), GREY)
    assert np.abs(loaded.astype(int) - 127).max() < 8


def test_a_small_image_is_enlarged(tmp_path: Path) -> None:
    loaded = load_image(_save(tmp_path, Image.new("L", (3, 2), 90)), GREY)
    np.testing.assert_array_equal(loaded, np.full((1, 8, 8), 90))


def test_a_palette_is_resolved(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert load_image(_save(tmp_path, image), COLOUR)[:, 4, 4].tolist() == [10, 20, 30]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    options = {}
    if mode == "P":
        image = Image.new("P", (8, 8), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        options["transparency"] = 1
    else:
        image = Image.new(mode, (8, 8))
    assert load_image(_save(tmp_path, image, **options), COLOUR).min() == 255


@pytest.mark.parametrize(("bits", "channels"), [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (8, 3), (16, 3)])
def test_one_transparent_colour_is_that_of_the_file(tmp_path: Path, bits: int, channels: int) -> None:
    largest = 2**bits - 1
    levels = np.linspace(0, largest, 64).astype(np.int64).reshape(8, 8)
    levels[0, :2] = largest // 3, min(largest // 3 + 1, largest)  # of 16 bits both are 85 of 255
    clear = int(levels[0, 0])
    with (tmp_path / "image.png").open("wb") as file:
        colour = clear if channels == 1 else (clear,) * 3
        options: dict[str, Any] = {"greyscale": channels == 1, "bitdepth": bits, "transparent": colour}
        writer = png.Writer(8, 8, **options)
        writer.write(file, np.repeat(levels, channels, axis=1).tolist())
    expected = np.where(levels == clear, 255, np.floor(levels * 255 / largest + (0.5 if channels == 1 else 0)))
    loaded = load_image(tmp_path / "image.png", COLOUR)
    np.testing.assert_allclose(loaded, np.broadcast_to(expected, (3, 8, 8)), atol=1 if bits == 16 else 0)


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize(("brightest", "is_dark"), [(4095, True), (4096, False), (0, False)])
def test_twelve_bits_in_a_png_of_sixteen_get_a_hint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, channels: int, brightest: int, is_dark: bool
) -> None:
    levels = np.linspace(0, brightest, 64 * channels).astype(np.int64).reshape(8, 8, channels)
    if channels in (2, 4):
        levels[..., :-1] = brightest
        levels[..., -1] = 65535
    options: dict[str, Any] = {"greyscale": channels == 2, "alpha": channels != 3, "bitdepth": 16}
    with (tmp_path / "image.png").open("wb") as file:
        png.Writer(8, 8, **options).write(file, levels.reshape(8, -1).tolist())
    load_image(tmp_path / "image.png", COLOUR)
    assert "image.png: has 16 bits per colour; the upper 8 are used" in caplog.text
    assert (f"its brightest level is {brightest} of 65535, so it becomes very dark" in caplog.text) == is_dark


@pytest.mark.parametrize(("code", "kind"), [(16, "PQ"), (18, "HLG"), (13, None)])
def test_a_high_dynamic_range_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int, kind: str | None
) -> None:
    path = _save(tmp_path, Image.fromarray(_noise(8, 8, 3)))
    chunk = b"cICP" + bytes([9, code, 0, 1])
    content = path.read_bytes()
    path.write_bytes(content[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:])
    np.testing.assert_array_equal(load_image(path, COLOUR), _noise(8, 8, 3).transpose(2, 0, 1))
    assert bool(kind) == bool(caplog.text) and f"high dynamic range ({kind})" * bool(kind) in caplog.text


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    wide = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    loaded = load_image(_save(tmp_path, Image.fromarray(wide)), GREY)
    np.testing.assert_array_equal(loaded[0], np.floor(wide * 255.0 / 65535 + 0.5))


def test_two_colours_become_black_and_white(tmp_path: Path) -> None:
    assert load_image(_save(tmp_path, Image.new("1", (8, 8), 1)), GREY).min() == 255


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    pixels = _noise(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    loaded = load_image(_save(tmp_path, Image.fromarray(pixels), exif=exif), GREY)
    np.testing.assert_array_equal(loaded[0], pixels[::-1, ::-1])


def test_cmyk_is_refused_by_name(tmp_path: Path) -> None:
    path = _save(tmp_path, Image.new("CMYK", (8, 8)), "odd.jpg")
    with pytest.raises(BadFileError, match=r"odd\.jpg: has the colour mode CMYK; convert it"):
        load_image(path, COLOUR)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_a_truncated_image_is_named(tmp_path: Path, name: str, part: float) -> None:
    path = _save(tmp_path, Image.fromarray(_noise(64, 64, 3)), name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match=rf"{name}: cannot be read as an? (image|TIFF)"):
        load_image(path, COLOUR)


def test_a_flipped_bit_in_a_png_is_named_or_changes_no_pixel(tmp_path: Path) -> None:
    path = _save(tmp_path, Image.fromarray(_noise(16, 16) // 100).convert("P"))
    content, shape = path.read_bytes(), ImageShape(3, 16, 16)
    expected = load_image(path, shape)
    num_named = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(load_image(path, shape), expected)
        except ValueError as error:
            assert re.search(r"image\.png: (cannot be read as an image|is of an unknown kind)", str(error))
            num_named += 1
    assert num_named > 0.9 * len(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"GIF89a", "is a GIF image"),
        (b"RIFF\0\0\0\0WEBP", "is a WebP image"),
        (b"\n <!DOCTYPE html><p>404", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
        (b"hello, I am text", "is of an unknown kind"),
        (bytes(5000), "is nothing but zeros"),
    ],
)
def test_other_content_is_named_for_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "fake.png"
    path.write_bytes(content)
    with pytest.raises(BadFileError, match=rf"fake\.png: {words}") as caught:
        load_image(path, GREY)
    assert "0x" not in str(caught.value)


def test_a_link_to_nowhere_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(BadFileError, match=r"link\.png: is a link to .*gone\.png, which does not exist"):
        load_image(tmp_path / "link.png", GREY)


@pytest.mark.parametrize("limit", [40, 10])
def test_an_image_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    path = _save(tmp_path, Image.new("L", (8, 8)), "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(BadFileError, match=rf"bomb\.png: has more than {limit} pixels; cut it into tiles"):
        load_image(path, GREY)


@pytest.mark.parametrize("options", [{"icc_profile": bytes(3 << 20)}, {"pnginfo": "x" * (2 << 20)}])
def test_long_notes_beside_the_pixels_change_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    if "pnginfo" in options:
        note = PngInfo()
        note.add_text("prompt", options["pnginfo"], zip=True)
        options = {"pnginfo": note}
    pixels = _noise(8, 8)
    np.testing.assert_array_equal(load_image(_save(tmp_path, Image.fromarray(pixels), **options), GREY)[0], pixels)


def test_exif_that_cannot_be_read_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\xff\xff\xff\xff"
    path = _save(tmp_path, Image.fromarray(_noise(8, 8)), "photo.jpg", exif=broken)
    assert load_image(path, GREY).shape == (1, 8, 8)
    assert "photo.jpg: its metadata cannot be read whole" in caplog.text


def test_transparency_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_image(_save(tmp_path, Image.new("RGBA", (8, 8), (9, 9, 9, 0))), COLOUR)
    assert "image.png: is transparent in part; that part is laid on white" in caplog.text

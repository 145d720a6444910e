"""Single image files: each kind becomes the pixels that the rule says, each damage is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_pipelines.readers.image_file import load_image
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


@pytest.mark.parametrize("mode", ["CMYK", "F", "I"])
def test_other_colour_modes_are_refused(tmp_path: Path, mode: str) -> None:
    path = _save(tmp_path, Image.new(mode, (8, 8)), "odd.tif")
    with pytest.raises(ValueError, match=rf"odd\.tif: has the colour mode {mode}; convert it"):
        load_image(path, COLOUR)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 0.95])
def test_a_truncated_image_is_named(tmp_path: Path, name: str, part: float) -> None:
    path = _save(tmp_path, Image.fromarray(_noise(64, 64, 3)), name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match=rf"{name}: cannot be read as an image"):
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
            assert "image.png: cannot be read as an image" in str(error)
            num_named += 1
    assert num_named > 0.9 * len(content)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"hello, I am text", bytes(5000)])
def test_other_content_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fake.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"fake\.png: cannot be read as an image"):
        load_image(path, GREY)


@pytest.mark.parametrize("limit", [40, 10])
def test_an_image_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    path = _save(tmp_path, Image.new("L", (8, 8)), "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match=r"bomb\.png: .*bomb"):
        load_image(path, GREY)

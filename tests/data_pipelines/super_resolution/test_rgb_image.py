"""Image files at their own size: what is no 8-bit RGB is named, with the rule that is applied."""

import logging

import numpy as np
import pytest
from PIL import Image

from data_pipelines.super_resolution.rows import load_rgb
from tests.image_fixtures import noise, save_16_bit_rgb, save_noise


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_rgb_keeps_its_size_and_pixels_without_a_word(tmp_path, caplog, name):
    pixels = save_noise(tmp_path / name, 5, 7)
    np.testing.assert_array_equal(load_rgb(tmp_path / name), pixels)
    assert not caplog.records


def test_grey_is_repeated_and_named(tmp_path, caplog):
    grey = noise(4, 6)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(load_rgb(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=2))
    assert "grey.png: is grey; its grey level is used for all three colours" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_16_bit_grey_is_scaled_and_named(tmp_path, caplog):
    wide = np.array([[0, 128, 129, 32768, 65535]], np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert load_rgb(tmp_path / "wide.png")[0, :, 1].tolist() == [0, 0, 1, 128, 255]
    assert "wide.png: has 16-bit grey levels; they are scaled to 8 bits" in caplog.text


def test_16_bit_colour_loses_its_lower_half_and_is_named(tmp_path, caplog):
    wide = np.random.default_rng(0).integers(0, 65536, (3, 4, 3), dtype=np.uint16)
    save_16_bit_rgb(tmp_path / "wide.png", wide)
    np.testing.assert_array_equal(load_rgb(tmp_path / "wide.png"), wide >> 8)
    assert "wide.png: has 16 bits per colour; the upper 8 are used" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.png: (is empty|is of an unknown kind|cannot be read as an image)"):
        load_rgb(tmp_path / "broken.png")


def test_a_file_that_is_cut_off_is_named(tmp_path):
    save_noise(tmp_path / "cut.png", 32, 32)
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"cut\.png: cannot be read as an image"):
        load_rgb(tmp_path / "cut.png")

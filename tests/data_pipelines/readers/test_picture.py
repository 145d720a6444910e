"""Pictures keep their depth, their transparency, their orientation and their colour profile."""

import struct
import zlib
from itertools import product

import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageCms

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.image_file import decode_image, to_plain
from data_pipelines.readers.picture import Picture, read_picture, write_picture


@pytest.mark.parametrize(
    ("dtype", "channels", "has_alpha", "form"),
    list(product((np.uint8, np.uint16), (1, 3), (False, True), ("PNG", "TIFF"))),
)
def test_what_is_written_is_read_again(tmp_path, dtype, channels, has_alpha, form):
    draws, largest = np.random.default_rng(0), np.iinfo(dtype).max
    colours = draws.integers(0, largest, (7, 5, channels), dtype=dtype)
    alpha = draws.integers(0, largest, (7, 5), dtype=dtype) if has_alpha else None
    file = tmp_path / f"picture.{form.lower()}"
    file.write_bytes(write_picture(Picture(colours, alpha, form)))
    found = read_picture(file)
    assert found.form == form and found.colours.dtype == dtype and found.largest == largest
    np.testing.assert_array_equal(found.colours, colours)
    if has_alpha:
        np.testing.assert_array_equal(found.alpha, alpha)
    else:
        assert found.alpha is None


def test_16_bits_are_those_of_other_programs(tmp_path):
    levels = np.random.default_rng(0).integers(0, 65535, (6, 4, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", levels, photometric="rgb")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").colours, levels)
    Image.fromarray(levels[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png").colours[..., 0], levels[..., 0])
    file = tmp_path / "b.png"
    file.write_bytes(write_picture(Picture(levels)))
    with Image.open(file) as image:  # it reads the upper 8 bits
        np.testing.assert_array_equal(np.asarray(image), (levels >> 8).astype(np.uint8))


@pytest.mark.parametrize("turn", range(1, 9))
def test_16_bits_are_turned_as_8_bits_are(tmp_path, turn):
    levels = np.random.default_rng(0).integers(0, 255, (6, 4, 3), dtype=np.uint8)
    for name, pixels in (("8", levels), ("16", levels.astype(np.uint16) * 257)):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="rgb", extratags=[(274, "H", 1, turn, True)])
    eight, sixteen = (read_picture(tmp_path / f"{name}.tif").colours for name in ("8", "16"))
    np.testing.assert_array_equal(sixteen, eight.astype(np.uint16) * 257)


@pytest.mark.parametrize("turn", range(1, 9))
def test_16_bits_of_a_png_are_turned_as_8_bits_are(tmp_path, turn):
    levels, exif = np.random.default_rng(0).integers(0, 255, (6, 4, 3), dtype=np.uint8), Image.Exif()
    exif[274] = turn
    Image.fromarray(levels).save(tmp_path / "8.png", exif=exif)
    content = write_picture(Picture(levels.astype(np.uint16) * 257))
    note = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(note) - 4) + note + struct.pack(">I", zlib.crc32(note))
    (tmp_path / "16.png").write_bytes(content[:33] + chunk + content[33:])  # behind the header
    eight, sixteen = (read_picture(tmp_path / f"{name}.png").colours for name in ("8", "16"))
    np.testing.assert_array_equal(sixteen, eight.astype(np.uint16) * 257)


def test_a_level_of_16_bit_grey_may_be_transparent(tmp_path, caplog):
    levels = np.array([[0, 40000], [65535, 257]], np.uint16)
    with (tmp_path / "a.png").open("wb") as file:
        writer = png.Writer(2, 2, bitdepth=16, transparent=40000, greyscale=True)  # pyright: ignore[reportArgumentType]
        writer.write(file, levels.tolist())
    found = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(found.colours[..., 0], levels)
    np.testing.assert_array_equal(found.alpha, [[65535, 0], [65535, 65535]])
    plain = to_plain(decode_image(tmp_path / "a.png"), tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(plain), [[0, 255], [255, 1]])
    assert "a.png: is transparent in part; that part is laid on white" in caplog.text


def test_palettes_become_colours_and_profiles_are_kept(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 4, 3), dtype=np.uint8))
    colours.convert("P").save(tmp_path / "palette.png")
    found = read_picture(tmp_path / "palette.png")
    np.testing.assert_array_equal(found.colours, np.asarray(colours.convert("P").convert("RGB")))
    colours.save(tmp_path / "profile.jpg", icc_profile=profile)
    (tmp_path / "again.png").write_bytes(write_picture(read_picture(tmp_path / "profile.jpg")))
    with Image.open(tmp_path / "again.png") as image:
        assert image.info["icc_profile"] == profile


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(BadFileError, match="is of an unknown kind"):
        read_picture(tmp_path / "a.png")
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.jpg")
    with pytest.raises(BadFileError, match="has the colour mode CMYK"):
        read_picture(tmp_path / "a.jpg")

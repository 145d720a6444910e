"""From the files of one image to its pixels at every scale."""

import numpy as np
import pytest

from data_pipelines.super_resolution.bicubic import resize_bicubic
from data_pipelines.super_resolution.image_lists import FilePair, ImageEntry
from data_pipelines.super_resolution.rows import read_entry
from tests.image_fixtures import save_noise


def save_pair(folder, scale: int, height: int, width: int, seed: int = 0) -> FilePair:
    pair = FilePair(folder / f"HR_x{scale}/a.png", folder / f"LR_x{scale}/a.png")
    save_noise(pair.hr, height, width, seed)
    save_noise(pair.lr, height // scale, width // scale, seed + 1)
    return pair


@pytest.mark.parametrize(("height", "width"), [(24, 36), (25, 38), (242, 257)])
def test_odd_sizes_are_cropped_per_scale_and_downscaled_bicubic(tmp_path, height, width):
    pixels = save_noise(tmp_path / "a.png", height, width)
    image = read_entry(ImageEntry("a", hr=tmp_path / "a.png"), (2, 3, 4))
    np.testing.assert_array_equal(image.hr, pixels)
    for scale in (2, 3, 4):
        low_height, low_width = height // scale, width // scale
        cut = pixels[: low_height * scale, : low_width * scale]
        np.testing.assert_array_equal(image.lr[scale], resize_bicubic(cut, low_height, low_width))


def test_given_low_resolution_is_kept_and_the_rest_is_made(tmp_path):
    pair = save_pair(tmp_path, 4, 25, 36)
    image = read_entry(ImageEntry("a", hr=pair.hr, pairs={4: pair}), (4, 2))
    assert image.lr[4].shape == (6, 9, 3) and image.lr[2].shape == (12, 18, 3)
    assert not np.array_equal(image.lr[4], resize_bicubic(image.hr[:24, :36], 6, 9))


def test_scales_cropped_differently_share_the_largest_hr_image(tmp_path):
    pixels = save_noise(tmp_path / "HR_x4/a.png", 16, 16)
    pairs = {4: FilePair(tmp_path / "HR_x4/a.png", tmp_path / "LR_x4/a.png")}
    save_noise(pairs[4].lr, 4, 4)
    pairs[3] = FilePair(tmp_path / "HR_x3/a.png", tmp_path / "LR_x3/a.png")
    save_noise(pairs[3].lr, 5, 5)
    from PIL import Image

    pairs[3].hr.parent.mkdir()
    Image.fromarray(pixels[:15, :15]).save(pairs[3].hr)
    image = read_entry(ImageEntry("a", pairs=pairs), (3, 4))
    assert image.hr.shape == (16, 16, 3) and image.lr[3].shape == (5, 5, 3)
    save_noise(pairs[3].hr, 15, 15, seed=9)
    with pytest.raises(ValueError, match=r"shows other pixels than .*; all scales of one name must be one image"):
        read_entry(ImageEntry("a", pairs=pairs), (3, 4))


def test_a_pair_whose_sizes_do_not_fit_is_named_with_both_sizes(tmp_path):
    pair = save_pair(tmp_path, 4, 24, 36)
    save_noise(pair.lr, 6, 8)
    with pytest.raises(ValueError, match=r"LR_x4/a\.png: is 8x6, but .*HR_x4/a\.png is 36x24 and asks for 9x6"):
        read_entry(ImageEntry("a", pairs={4: pair}), (4,))


def test_an_image_below_one_low_resolution_pixel_is_refused(tmp_path):
    save_noise(tmp_path / "a.png", 3, 9)
    with pytest.raises(ValueError, match=r"a\.png: 9x3 pixels are too few for scale 4"):
        read_entry(ImageEntry("a", hr=tmp_path / "a.png"), (4,))


def test_an_image_smaller_than_a_patch_is_named_with_the_rule(tmp_path, caplog):
    save_noise(tmp_path / "a.png", 31, 40)
    read_entry(ImageEntry("a", hr=tmp_path / "a.png"), (4,), smallest_lr=8)
    assert "a.png: is 40x31, smaller than a training patch of 32; patches go on into its mirror image" in caplog.text
    caplog.clear()
    save_noise(tmp_path / "a.png", 32, 40)
    read_entry(ImageEntry("a", hr=tmp_path / "a.png"), (4,), smallest_lr=8)
    assert not caplog.records

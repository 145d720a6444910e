"""Bicubic resizing against MATLAB's rule written out as loops, and against files that MATLAB has made."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.super_resolution.bicubic import cubic_kernel, downscale, quantise, resize_bicubic, resize_matrix
from tests.image_fixtures import noise

SET5 = os.environ.get("QUINTET_SET5")


def naive_kernel(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def naive_axis(values: list[float], num_out: int) -> list[float]:
    """Counted from 1, as in MATLAB."""
    n, r = len(values), num_out / len(values)
    h = (lambda x: r * naive_kernel(r * x)) if r < 1 else naive_kernel
    width = 4 / min(r, 1)
    mirrored = [*range(1, n + 1), *range(n, 0, -1)]
    result = []
    for x in range(1, num_out + 1):
        u = x / r + 0.5 * (1 - 1 / r)
        left = math.floor(u - width / 2)
        taps = range(left, left + math.ceil(width) + 2)
        weights = [h(u - tap) for tap in taps]
        total = sum(w * values[mirrored[(tap - 1) % (2 * n)] - 1] for tap, w in zip(taps, weights, strict=True))
        result.append(total / sum(weights))
    return result


@pytest.mark.parametrize(("num_in", "num_out"), [(12, 3), (12, 4), (12, 6), (5, 1), (3, 12), (4, 8), (7, 7), (2, 16)])
def test_the_matrix_equals_the_rule_written_as_a_loop(num_in, num_out):
    values = np.random.default_rng(num_in).normal(size=num_in)
    np.testing.assert_allclose(
        resize_matrix(num_in, num_out) @ values, naive_axis(values.tolist(), num_out), atol=1e-12
    )


def test_the_kernel_passes_through_the_samples():
    assert cubic_kernel(np.array([0.0, 1.0, -1.0, 2.0, 2.5])).tolist() == [1, 0, 0, 0, 0]
    assert cubic_kernel(np.array([0.5, 1.5])).tolist() == [naive_kernel(0.5), naive_kernel(1.5)] == [0.5625, -0.0625]


def test_resizing_rounds_after_columns_and_again_after_rows():
    image = noise(8, 12, 3)
    resized = resize_bicubic(image, 2, 3)
    for channel in range(3):
        columns = [naive_axis(image[:, x, channel].astype(float).tolist(), 2) for x in range(12)]
        between = np.clip(np.floor(np.array(columns).T + 0.5), 0, 255)
        expected = [naive_axis(row.tolist(), 3) for row in between]
        np.testing.assert_array_equal(resized[:, :, channel], np.clip(np.floor(np.array(expected) + 0.5), 0, 255))


@pytest.mark.parametrize("size", [(2, 3), (32, 48)])
def test_a_flat_image_stays_flat(size):
    image = np.full((8, 12, 3), 77, np.uint8)
    assert (resize_bicubic(image, *size) == 77).all()


def test_grey_levels_are_rounded_half_up_and_clipped():
    assert quantise(np.array([-3.0, 0.49, 0.5, 1.5, 254.6, 300.0])).tolist() == [0, 0, 1, 2, 255, 255]


def test_an_image_that_is_no_multiple_of_the_scale_is_refused():
    with pytest.raises(AssertionError, match="multiple"):
        downscale(noise(9, 8, 3), 4)


@pytest.mark.skipif(SET5 is None, reason="QUINTET_SET5 names no folder with x2 and x4, each with HR and LR")
@pytest.mark.parametrize("scale", [2, 4])
def test_matlab_lr_files_are_matched_within_half_a_grey_level(scale):
    root = Path(str(SET5)) / f"x{scale}"
    for path in sorted((root / "HR").iterdir()):
        hr, lr = (np.asarray(Image.open(each)).astype(int) for each in (path, root / "LR" / path.name))
        height, width = (side * scale for side in lr.shape[:2])
        made = downscale(hr[:height, :width].astype(np.uint8), scale)
        assert np.abs(made.astype(int) - lr).mean() < 0.1, path.name
        assert np.abs(made.astype(int) - lr)[2:-2, 2:-2].max() <= 1, path.name

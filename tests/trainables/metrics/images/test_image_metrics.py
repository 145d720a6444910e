"""PSNR, SSIM, luma, SCC, SAM and UQI against loops written from their definitions."""

import math

import numpy as np
import pytest
import torch

from tests.image_fixtures import noise
from trainables.metrics.images.luma import compute_grey, compute_luma, is_grey
from trainables.metrics.images.psnr import MAX_PSNR_DB, compute_channel_psnr, compute_psnr
from trainables.metrics.images.remote_sensing import compute_sam, compute_scc, compute_uqi
from trainables.metrics.images.ssim import compute_ssim


def pair(channels: int = 3, height: int = 14, width: int = 17, spread: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """An image, and the same with errors."""
    first = noise(channels, height, width, seed=1).astype(int)
    errors = np.random.default_rng(2).integers(-spread, spread + 1, first.shape)
    errors[0] //= 3  # channels differ in quality
    second = np.clip(first + errors, 0, 255)
    return torch.from_numpy(first.astype(np.uint8)), torch.from_numpy(second.astype(np.uint8))


def mean_square(x: np.ndarray, y: np.ndarray) -> float:
    return sum((float(a) - float(b)) ** 2 for a, b in zip(x.ravel(), y.ravel(), strict=True)) / x.size


def test_psnr_equals_loops_over_pixels():
    x, y = pair()
    assert float(compute_psnr(x, y)) == pytest.approx(10 * math.log10(255**2 / mean_square(x.numpy(), y.numpy())))
    channels = [10 * math.log10(255**2 / mean_square(x[c].numpy(), y[c].numpy())) for c in range(3)]
    assert float(compute_channel_psnr(x, y)) == pytest.approx(sum(channels) / 3)
    assert compute_channel_psnr(x, y) > compute_psnr(x, y) + 0.5


def test_psnr_of_equal_images_is_the_largest_and_finite():
    x, _ = pair()
    assert compute_psnr(x, x) == compute_channel_psnr(x, x) == MAX_PSNR_DB


def test_psnr_of_one_grey_level_matches_the_literature():
    x = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    assert float(compute_psnr(x, x + 1)) == pytest.approx(48.1308, abs=1e-4)


def naive_ssim(x: np.ndarray, y: np.ndarray) -> float:
    window = np.array([[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2)) for j in range(11)] for i in range(11)])
    window /= window.sum()
    c1, c2, values = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for channel in range(x.shape[0]):
        for top in range(x.shape[1] - 10):
            for left in range(x.shape[2] - 10):
                a, b = (each[channel, top : top + 11, left : left + 11].astype(float) for each in (x, y))
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
                covariance = (window * (a - mean_a) * (b - mean_b)).sum()
                value = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
                values.append(value / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return float(np.mean(values))


def test_ssim_equals_loops_over_windows():
    x, y = pair()
    assert float(compute_ssim(x, y)) == pytest.approx(naive_ssim(x.numpy(), y.numpy()), abs=1e-9)
    assert float(compute_ssim(x, x)) == pytest.approx(1.0)


def test_ssim_equals_that_of_scikit_image():
    from skimage.metrics import structural_similarity

    x, y = pair(height=40, width=50)
    known = structural_similarity(
        x.permute(1, 2, 0).numpy(),
        y.permute(1, 2, 0).numpy(),
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert float(compute_ssim(x, y)) == pytest.approx(known, abs=1e-9)


def test_images_that_no_window_fits_into_are_refused():
    x, y = pair(height=10)
    with pytest.raises(ValueError, match="at least 11x11 pixels, these are 17x10"):
        compute_ssim(x, y)
    x, y = pair(height=7)
    with pytest.raises(ValueError, match="8x8 do not fit into 17x7"):
        compute_uqi(x, y)


def test_luma_is_the_studio_range_of_bt_601():
    white, black, red = (
        torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1) for colour in ([255, 255, 255], [0, 0, 0], [255, 0, 0])
    )
    assert [round(float(compute_luma(colour)), 3) for colour in (white, black, red)] == [235.0, 16.0, 81.481]
    x, _ = pair()
    for top, left in ((0, 0), (5, 9)):
        r, g, b = x[:, top, left].tolist()
        expected = (24.966 * b + 128.553 * g + 65.481 * r) / 255 + 16
        assert float(compute_luma(x)[0, top, left]) == pytest.approx(expected, abs=1e-12)


def test_grey_levels_weigh_the_colours_as_bt_601():
    x, _ = pair()
    r, g, b = x[:, 5, 9].tolist()
    assert float(compute_grey(x)[0, 5, 9]) == pytest.approx(0.299 * r + 0.587 * g + 0.114 * b, abs=1e-12)
    assert not is_grey(x) and is_grey(x[:1].expand(3, -1, -1))
    assert torch.equal(compute_grey(x[:1].expand(3, -1, -1)), x[:1].double())


def windows(x: np.ndarray, size: int = 8):
    for top in range(x.shape[0] - size + 1):
        for left in range(x.shape[1] - size + 1):
            yield x[top : top + size, left : left + size].astype(float)


def naive_uqi(x: np.ndarray, y: np.ndarray) -> float:
    values = []
    for a_channel, b_channel in zip(x, y, strict=True):
        for a, b in zip(windows(a_channel), windows(b_channel), strict=True):
            means, variances = a.mean() ** 2 + b.mean() ** 2, a.var() + b.var()
            covariance = ((a - a.mean()) * (b - b.mean())).mean()
            brightness = 2 * a.mean() * b.mean() / means if means else 1.0
            values.append(brightness * (2 * covariance / variances if variances else 1.0))
    return float(np.mean(values))


def naive_scc(x: np.ndarray, y: np.ndarray) -> float:
    values = []
    for a_channel, b_channel in zip(x.astype(float), y.astype(float), strict=True):
        filtered = []
        for image in (a_channel, b_channel):
            height, width = image.shape
            filtered.append(
                np.array(
                    [
                        [9 * image[i, j] - image[i - 1 : i + 2, j - 1 : j + 2].sum() for j in range(1, width - 1)]
                        for i in range(1, height - 1)
                    ]
                )
            )
        for a, b in zip(windows(filtered[0]), windows(filtered[1]), strict=True):
            spread = a.std() * b.std()
            values.append(((a - a.mean()) * (b - b.mean())).mean() / spread if spread > 1e-9 else 0.0)
    return float(np.mean(values))


def naive_sam(x: np.ndarray, y: np.ndarray) -> float:
    angles = []
    for top in range(x.shape[1]):
        for left in range(x.shape[2]):
            a, b = x[:, top, left].astype(float), y[:, top, left].astype(float)
            if not a.any() or not b.any():
                angles.append(0.0 if not a.any() and not b.any() else math.pi / 2)
            else:
                angles.append(math.acos(min(1.0, float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b)))))
    return float(np.mean(angles))


def with_flat_parts() -> tuple[torch.Tensor, torch.Tensor]:
    """Black, equal and flat windows, where the formulas divide by zero."""
    x, y = pair(height=26, width=30)
    x[:, :12, :12], y[:, :12, :12] = 0, 0
    x[:, :12, 15:], y[:, :12, 15:] = 90, 120
    x[:, 14:, :10] = 0
    return x, y


@pytest.mark.parametrize("images", [pair(), with_flat_parts()], ids=["plain", "flat parts"])
@pytest.mark.parametrize(
    ("compute", "naive"), [(compute_uqi, naive_uqi), (compute_scc, naive_scc), (compute_sam, naive_sam)]
)
def test_uqi_scc_and_sam_equal_loops(images, compute, naive):
    x, y = images
    assert float(compute(x, y)) == pytest.approx(naive(x.numpy(), y.numpy()), abs=1e-7)


def test_equal_images_get_the_best_values():
    x, _ = pair()
    assert float(compute_uqi(x, x)) == pytest.approx(1.0)
    assert float(compute_scc(x, x)) == pytest.approx(1.0)
    assert float(compute_sam(x, x)) == pytest.approx(0.0, abs=1e-6)


def test_sam_does_not_see_brightness():
    x = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1)
    assert float(compute_sam(x, 3 * x)) == pytest.approx(0.0, abs=1e-6)

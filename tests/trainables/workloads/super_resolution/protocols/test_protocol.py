"""The published protocols against their rules applied by hand."""

import numpy as np
import pytest
import torch

from tests.image_fixtures import noise
from trainables.metrics.images.luma import compute_luma
from trainables.metrics.images.psnr import compute_channel_psnr, compute_psnr
from trainables.metrics.images.remote_sensing import compute_sam, compute_scc, compute_uqi
from trainables.metrics.images.ssim import compute_ssim
from trainables.workloads.super_resolution.protocols.protocol import measure


def pair(height: int = 44, width: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """With errors that differ between channels, and large ones in the border that is to be cut off."""
    truth = noise(3, height, width).astype(int)
    errors = np.random.default_rng(1).integers(-30, 31, truth.shape) // np.array([1, 2, 3])[:, None, None]
    errors[:, :4], errors[:, -4:], errors[..., :4], errors[..., -4:] = 99, 99, 99, 99
    image = np.clip(truth + errors, 0, 255)
    return torch.from_numpy(image.astype(np.uint8)), torch.from_numpy(truth.astype(np.uint8))


@pytest.mark.parametrize(
    ("protocol", "border", "is_luma", "psnr"),
    [
        ("uc_merced", 4, False, compute_channel_psnr),
        ("y_channel", 4, True, compute_psnr),
        ("div2k", 10, False, compute_psnr),
    ],
)
def test_borders_colours_and_channels_follow_the_protocol(protocol, border, is_luma, psnr):
    image, truth = pair()
    cut = [each[:, border:-border, border:-border] for each in (image, truth)]
    colours = [compute_luma(each) for each in cut] if is_luma else cut
    expected = [psnr(*colours), compute_ssim(*colours), compute_scc(*cut), compute_sam(*cut), compute_uqi(*cut)]
    found = measure(image, truth, scale=4, protocol=protocol, metrics=["psnr", "ssim", "scc", "sam", "uqi"])
    assert found.tolist() == pytest.approx([float(value) for value in expected], rel=1e-12)


def test_a_grey_truth_is_measured_in_its_own_grey_levels():
    image, truth = (each[:1].expand(3, -1, -1) for each in pair())
    cut = [each[:1, 4:-4, 4:-4] for each in (image, truth)]
    found = measure(image, truth, scale=4, protocol="y_channel", metrics=["psnr", "ssim"])
    assert found.tolist() == pytest.approx([float(compute_psnr(*cut)), float(compute_ssim(*cut))], abs=1e-9)


def test_metrics_come_in_the_order_asked_for():
    image, truth = pair()
    both = measure(image, truth, scale=4, protocol="uc_merced", metrics=["psnr", "ssim"])
    swapped = measure(image, truth, scale=4, protocol="uc_merced", metrics=["ssim", "psnr"])
    assert both.tolist() == swapped.tolist()[::-1]


def test_an_image_of_which_too_little_is_left_is_refused():
    image, truth = pair(height=18)
    with pytest.raises(
        ValueError, match="an image of 48x18 pixels is too small to be measured: without 4 at each side"
    ):
        measure(image, truth, scale=4, protocol="uc_merced", metrics=["psnr"])

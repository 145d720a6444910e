"""Scores of frames against loops."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from tests.trainables.metrics.images.backbone_files import save_backbone, save_linear
from trainables.metrics.images.perceptual import Lpips
from trainables.workloads.video_prediction.evaluator import score_frames, score_names


def test_scores_are_those_of_a_loop_over_frames():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(3, 3, 16, 20, generator=generator)
    prediction = (truth + 0.2 * torch.randn(truth.shape, generator=generator)).clamp(0, 1)
    scores = score_frames(prediction, truth).numpy()
    assert score_names(16, 20) == ("mse", "mae", "psnr", "ssim")
    for frame in range(3):
        a, b = (x[frame].double().numpy().transpose(1, 2, 0) for x in (prediction, truth))
        total_square = total_absolute = 0.0
        for left, right in zip(a.ravel(), b.ravel(), strict=True):
            total_square += (left - right) ** 2
            total_absolute += abs(left - right)
        assert scores[0, frame] == pytest.approx(total_square / a.size)
        assert scores[1, frame] == pytest.approx(total_absolute / a.size)
        assert scores[2, frame] == pytest.approx(-10 * np.log10(total_square / a.size))
        maps = structural_similarity(
            a,
            b,
            data_range=1.0,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )[1]
        assert scores[3, frame] == pytest.approx(maps[5:-5, 5:-5].mean(), abs=1e-9)


def test_small_frames_have_no_ssim():
    assert score_frames(torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)).shape == (3, 2)


def test_perceptual_metrics_compare_frames_of_eight_bits(tmp_path):
    linear, backbone = tmp_path / "alex.pth", tmp_path / "alexnet.pth"
    save_linear(linear, "alexnet")
    save_backbone(backbone, "alexnet")
    network = Lpips(linear, backbone)
    generator = torch.Generator().manual_seed(0)
    truth, prediction = (torch.rand(2, 1, 36, 40, generator=generator) for _ in range(2))
    scores = score_frames(prediction, truth, {"lpips": network})
    assert scores.shape == (5, 2)
    for frame in range(2):
        a, b = (np.rint(255 * x[frame, 0].numpy()).astype(np.uint8) for x in (prediction, truth))
        pair = (torch.from_numpy(np.stack([grey] * 3)) for grey in (a, b))
        assert float(scores[4, frame]) == pytest.approx(float(network(*pair)))

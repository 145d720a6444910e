"""Scores against loops, curves over time, best draws, roll-outs, baselines, ranks."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity

from tests.ranks import run_ranks
from tests.trainables.metrics.images.backbone_files import save_backbone, save_linear
from tests.trainables.workloads.video_prediction.conftest import (
    CPU,
    DATA,
    Repeat,
    start_of,
    tiny_clips,
    tiny_config,
    tiny_task,
)
from trainables.contract.panels import ImagePanel, VideoPanel
from trainables.metrics.images.perceptual import Lpips
from trainables.workloads.video_prediction.bordered_frames import FUTURE, PAST
from trainables.workloads.video_prediction.config import VideoPredictionConfig
from trainables.workloads.video_prediction.diffusion.predictors import RegressionPredictor, rollout
from trainables.workloads.video_prediction.evaluator import WindowEvaluator, best_draw, score_frames, score_names
from trainables.workloads.video_prediction.spaces.frame_spaces import PixelSpace
from trainables.workloads.video_prediction.windows import choose_starts, cut_even_windows, noise_of


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


def test_weights_that_are_given_are_measured_with(tmp_path):
    save_linear(tmp_path / "alex.pth", "alexnet")
    save_backbone(tmp_path / "alexnet.pth", "alexnet")
    weights = {"lpips": tmp_path / "alex.pth", "alexnet": tmp_path / "alexnet.pth"}
    evaluation = {"sampling": {"num_steps": 2}, "perceptual": weights}
    config = tiny_config(evaluation=evaluation, data=DATA | {"height": 32, "width": 32})
    assert config.evaluation.perceptual_metrics == ("lpips",)
    task = tiny_task(config)
    evaluator = task.evaluator(run_ranks(1, lambda ranks: ranks)[0], CPU)
    evaluator.update(task.module, tiny_clips(config, 2))
    metrics = evaluator.compute(task.module).metrics
    config.check_inputs()
    assert metrics["eval/lpips"] > 0 and metrics["baseline/eval/lpips"] > 0 and "eval/lpips/t+1" in metrics


def build(config: VideoPredictionConfig, collectives=None, features=None) -> WindowEvaluator:
    data = config.data
    space = PixelSpace(1, data.height, data.width)
    group = collectives or run_ranks(1, lambda ranks: ranks)[0]
    predictor = RegressionPredictor()
    return WindowEvaluator(
        config,
        space,
        predictor,
        features=features,
        perceptual={},
        seed=0,
        frames_per_s=4,
        collectives=group,
        device=CPU,
    )


def evaluate(config: VideoPredictionConfig, module, num_rows: int = 4) -> dict[str, float]:
    def body(ranks):
        evaluator = build(config, ranks)
        evaluator.update(module, tiny_clips(config, num_rows))
        return evaluator.compute(module)

    return dict(run_ranks(1, body)[0].metrics)


def test_metrics_average_windows_per_future_frame_and_overall():
    config = tiny_config(evaluation={"windows_per_clip": 2})
    metrics = evaluate(config, Repeat(3, gain=0.5))
    pixels = tiny_clips(config)
    curves, start = [], 0
    for length in pixels["length"].tolist():
        clip = pixels["frames"][start : start + length].double() / 255
        start += length
        for first in [0] if length == 5 else [0, length - 5]:
            predicted = (clip[first + 1] + 0.25).clamp(0, 1)
            curves.append([(predicted - clip[first + 2 + frame]).square().mean().item() for frame in range(3)])
    expected = np.mean(curves, axis=0)
    assert [metrics[f"eval/mse/t+{frame}"] for frame in (1, 2, 3)] == pytest.approx(expected.tolist(), rel=1e-5)
    assert metrics["eval/mse"] == pytest.approx(expected.mean(), rel=1e-5)
    assert metrics["eval/mse_sum"] == pytest.approx(expected.mean() * 12 * 16, rel=1e-5)
    assert metrics["eval/nfe"] == 1 and "eval/best/mse" not in metrics
    assert {name for name in metrics if name.count("/") == 1} == {
        "eval/mse",
        "eval/mae",
        "eval/psnr",
        "eval/ssim",
        "eval/mse_sum",
        "eval/mae_sum",
        "eval/nfe",
    }


def test_the_baseline_is_the_last_past_frame():
    metrics = evaluate(tiny_config(), Repeat(3))
    ours = {name: value for name, value in metrics.items() if name.startswith("eval/") and name != "eval/nfe"}
    assert len(ours) == 18
    for name, value in ours.items():
        assert metrics[f"baseline/{name}"] == pytest.approx(value, rel=1e-6), name
    assert evaluate(tiny_config(), Repeat(3, gain=0.3))["baseline/eval/mse"] == metrics["baseline/eval/mse"]


def test_a_roll_out_feeds_predictions_back():
    past = torch.arange(2.0).view(1, 2, 1, 1, 1)
    rolled = rollout(RegressionPredictor(), Repeat(3, gain=1.0), past, 7, [])
    assert rolled.frames.flatten().tolist() == [2, 2, 2, 3, 3, 3, 4] and rolled.nfe == 3


def test_a_roll_out_gives_the_curve_over_time():
    metrics = evaluate(tiny_config(evaluation={"rollout_frames": 4}), Repeat(3))
    assert "eval/psnr/t+4" in metrics and "eval/psnr/t+5" not in metrics and metrics["eval/nfe"] == 2


def test_clips_too_short_for_a_rollout_are_left_out():
    config = tiny_config(evaluation={"rollout_frames": 5})  # 7 frames; the clips have 5, 6 and 7
    batch = tiny_clips(config)
    assert len(cut_even_windows(batch, num_past=2, num_future=5, stride=1, per_clip=3).past) == 1
    with pytest.raises(ValueError, match=r"no clip of the split test is long enough.*rollout_frames"):
        evaluate(tiny_config(evaluation={"rollout_frames": 50}), Repeat(3))


def test_each_scores_best_draw_is_chosen_by_its_mean_over_time():
    scores = torch.tensor([[[1.0, 5.0], [0.0, 1.0]], [[2.0, 2.0], [9.0, 0.0]]], dtype=torch.float64)
    assert best_draw(scores, ("mse", "psnr")).tolist() == [[2.0, 2.0], [9.0, 0.0]]


def test_draws_differ_and_the_best_is_no_worse_than_their_mean():
    config = tiny_config(evaluation={"num_draws": 3, "sampling": {"num_steps": 2}})
    task = tiny_task(config)

    def body(ranks):
        evaluator = task.evaluator(ranks, CPU)
        evaluator.update(task.module.eval(), tiny_clips(config, 2))
        return evaluator.compute(task.module)

    metrics = run_ranks(1, body)[0].metrics
    assert metrics["eval/best/mse"] < metrics["eval/mse"] and metrics["eval/best/psnr"] > metrics["eval/psnr"]
    assert metrics["eval/nfe"] == 2


class Levels:
    """Features of a clip for tests: the sine of the level of each of its five frames."""

    feature_dim = 5

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        return (clips.float().mean(dim=(2, 3, 4)) * 9).sin()


@pytest.mark.parametrize("world_size", [1, 2])
def test_fvd_covers_past_and_future_and_reports_its_clip_count(world_size):
    config, module = tiny_config(), Repeat(3, gain=0.4)

    def body(ranks):
        evaluator = build(config, ranks, Levels())
        for batch in start_of(config, ranks).batches("test"):
            evaluator.update(module, batch)
        return evaluator.compute(module).metrics

    batch = tiny_clips(config, 6)
    past, future = cut_even_windows(batch, num_past=2, num_future=3, stride=1, per_clip=1)
    bright = (past[:, -1:].float() + 0.2 * 255).clamp(0, 255).round().to(torch.uint8).expand_as(future)
    true, ours, copies = (
        Levels()(torch.cat([past, frames], dim=1)).double().numpy()
        for frames in (future, bright, past[:, -1:].expand_as(future))
    )
    for metrics in run_ranks(world_size, body):
        assert metrics["eval/fvd"] == pytest.approx(naive_frechet(true, ours), rel=1e-4)
        assert metrics["baseline/eval/fvd"] == pytest.approx(naive_frechet(true, copies), rel=1e-4)
        assert metrics["eval/fvd_clips"] == 6
    assert "eval/fvd" not in evaluate(config, module)


def naive_frechet(first: np.ndarray, second: np.ndarray) -> float:
    root = sqrtm(np.cov(first, rowvar=False) @ np.cov(second, rowvar=False))
    traces = np.trace(np.cov(first, rowvar=False)) + np.trace(np.cov(second, rowvar=False))
    return float(np.square(first.mean(0) - second.mean(0)).sum() + traces - 2 * np.trace(root).real)


@pytest.mark.parametrize(
    ("places", "count", "expected"), [(9, 1, [0]), (9, 3, [0, 4, 8]), (3, 10, [0, 1, 2]), (1, 4, [0]), (5, 2, [0, 4])]
)
def test_windows_start_at_even_distances(places, count, expected):
    assert choose_starts(places, count) == expected


def test_evaluated_windows_keep_the_stride():
    frames = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    batch = {"length": torch.tensor([8, 12]), "frames": frames}
    past, future = cut_even_windows(batch, num_past=2, num_future=2, stride=2, per_clip=2)
    assert torch.cat([past, future], 1).flatten(1).tolist() == [
        [0, 2, 4, 6],
        [1, 3, 5, 7],
        [8, 10, 12, 14],
        [13, 15, 17, 19],
    ]


def test_noise_follows_from_content_draw_and_seed():
    past = torch.randint(0, 256, (2, 2, 1, 4, 4), dtype=torch.uint8)
    first = [torch.randn(3, generator=each) for each in noise_of(past, 0, 0)]
    again = torch.randn(3, generator=noise_of(past[1:], 0, 0)[0])
    assert torch.equal(first[1], again) and not torch.equal(first[0], first[1])
    for other in (noise_of(past, 1, 0), noise_of(past, 0, 1)):
        assert not torch.equal(torch.randn(3, generator=other[0]), first[0])


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_find_what_one_finds(world_size):
    config = tiny_config(evaluation={"num_shown": 4, "sampling": {"num_steps": 2}})
    task = tiny_task(config)

    def body(ranks):
        evaluator = task.evaluator(ranks, CPU)
        for batch in start_of(config, ranks).batches("test"):
            evaluator.update(task.module.eval(), batch)
        return evaluator.compute(task.module)

    (one,), several = run_ranks(1, body), run_ranks(world_size, body)
    for other in several:
        assert other.metrics == pytest.approx(dict(one.metrics), rel=1e-6)
        assert torch.equal(other.panels[0].images, one.panels[0].images)
        assert len(one.panels[0].images) == 4


def test_shown_windows_are_separate_pictures_and_an_animation():
    config = tiny_config(data={**DATA, "num_past": 2}, evaluation={"num_shown": 3})

    def body(ranks):
        evaluator = build(config, ranks)
        evaluator.update(Repeat(3), tiny_clips(config, 4))
        return evaluator.compute(Repeat(3))

    pictures, video = run_ranks(1, body)[0].panels
    assert isinstance(pictures, ImagePanel) and isinstance(video, VideoPanel)
    frames = tiny_clips(config)["frames"]
    assert pictures.key == "eval/predictions" and len(pictures.images) == 3
    zoom, (tall, wide) = 4, (4 * 12, 4 * 16)
    left, top = pictures.images.shape[-1] - 5 * (wide + 2), pictures.images.shape[-2] - 2 * (tall + 2)

    def tile(row: int, column: int) -> torch.Tensor:
        """The red of one frame, by a pixel of each square of equal ones."""
        y, x = top + row * (tall + 2), left + column * (wide + 2)
        return pictures.images[0, 0, y : y + tall : zoom, x : x + wide : zoom]

    for column in range(5):
        assert torch.equal(tile(0, column), frames[column, 0])
        below = torch.full((12, 16), 255, dtype=torch.uint8) if column < 2 else frames[1, 0]
        assert torch.equal(tile(1, column), below)
    assert (pictures.images[0, :, :top] < 100).any() and (pictures.images[0, :, :, :left] < 100).any()
    assert video.key == "eval/predictions_video" and video.clips.shape[:3] == (3, 5, 3)
    half = video.clips.shape[-1] // 2
    borders = [[tuple(clip[:, 0, x].tolist()) for x in (0, half)] for clip in video.clips[0]]
    assert borders == [[PAST, PAST]] * 2 + [[PAST, FUTURE]] * 3
    assert torch.equal(video.clips[0, 4, 0, 5 : 5 + 72 : 6, half + 5 : -5 : 6], frames[1, 0])


def test_weights_of_no_backbone_are_refused_by_their_setting(tmp_path):
    save_linear(tmp_path / "alex.pth", "alexnet")
    config = tiny_config(evaluation={"perceptual": {"lpips": tmp_path / "alex.pth"}})
    with pytest.raises(ValueError, match=r"workload.evaluation.perceptual.: .alexnet. is not given"):
        config.check_inputs()

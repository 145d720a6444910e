"""What an evaluation measures, over ranks, scales, folders with truth and folders without."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_pipelines.super_resolution.batch import unpack
from tests.image_fixtures import save_noise
from tests.ranks import run_ranks, solo
from tests.tasks import seeded
from tests.trainables.workloads.super_resolution.conftest import CPU, Nearest, start_of, tiny_batch, tiny_config
from trainables.contract.panels import ImagePanel
from trainables.workloads.super_resolution.evaluator import Best, ImageEvaluator, Standing
from trainables.workloads.super_resolution.plots import SamplePlots
from trainables.workloads.super_resolution.protocols.baseline import enlarge_bicubic
from trainables.workloads.super_resolution.protocols.protocol import measure
from trainables.workloads.super_resolution.task import SuperResolutionTask


def evaluate(config, collectives=None, batches=(), standing=None, module=None):
    evaluator = ImageEvaluator(config, standing=standing, collectives=collectives or solo(), device=CPU)
    for batch in batches:
        evaluator.update(module or Nearest(), batch)
    return evaluator.compute(module or Nearest())


def test_metrics_are_image_means_beside_bicubic_at_every_scale():
    config = tiny_config((2, 3), evaluation={"metrics": ["psnr", "ssim", "sam"]})
    batches = [tiny_batch(config, 2, seed=0), tiny_batch(config, 3, seed=1)]
    found = evaluate(config, batches=batches).metrics
    for scale, prefix in ((2, "val"), (3, "val/x3")):
        pairs = [pair for batch in batches for pair in unpack(batch, scale)]
        nearest = [pair.lr.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2) for pair in pairs]
        bicubic = [enlarge_bicubic(pair.lr, scale) for pair in pairs]
        for images, before in ((nearest, ""), (bicubic, "baseline/")):
            rows = [
                measure(image, pair.hr, scale=scale, protocol="uc_merced", metrics=["psnr", "ssim", "sam"])
                for image, pair in zip(images, pairs, strict=True)
            ]
            for number, metric in enumerate(["psnr", "ssim", "sam"]):
                mean = sum(float(row[number]) for row in rows) / 5
                assert found[f"{before}{prefix}/{metric}"] == pytest.approx(mean)
    assert len(found) == 2 * 2 * 3


def test_two_ranks_with_unequal_shares_find_what_one_finds():
    config = tiny_config()
    parts = [tiny_batch(config, 1, seed=0), tiny_batch(config, 3, seed=1)]
    alone = evaluate(config, batches=parts).metrics
    for metrics in run_ranks(2, lambda ranks: evaluate(config, ranks, [parts[ranks.rank]]).metrics):
        assert metrics == pytest.approx(alone)


def test_the_best_epoch_is_kept_and_of_equal_ones_the_first():
    config, best = tiny_config(), Best()
    found = []
    for epoch, seed in ((1, 0), (2, 1), (3, 2), (4, 0)):
        batches = [tiny_batch(config, 1, seed=seed)]
        found.append(evaluate(config, batches=batches, standing=Standing(epoch, best)).metrics)
    values = [metrics["val/psnr"] for metrics in found]
    assert [metrics["val/epoch"] for metrics in found] == [1, 2, 3, 4]
    for number in range(4):
        assert found[number]["val/best_psnr"] == max(values[: number + 1])
        assert found[number]["val/best_epoch"] == values.index(max(values[: number + 1])) + 1


def test_evaluating_a_saved_model_draws_its_images_and_no_best():
    config = tiny_config(data={"scales": [2], "lr_patch_size": 30}, evaluation={"split": "test"})
    task = seeded(SuperResolutionTask)(config, {}, 0)
    validation = SamplePlots(config, "val")
    validation.collect(start_of(config, solo()))
    task.load_state_dict({**task.state_dict(), "drawing": validation.state_dict()})
    evaluator = task.evaluator(solo(), CPU)
    assert evaluator.split == "test"
    images = tiny_batch(config, num_rows=3, seed=7)
    evaluator.update(Nearest(), images)
    evaluation = evaluator.compute(Nearest())
    assert set(evaluation.metrics) == {"test/psnr", "test/ssim", "baseline/test/psnr", "baseline/test/ssim"}
    [panel] = evaluation.panels
    assert isinstance(panel, ImagePanel) and panel.key == "test/comparison" and len(panel.images) == 2 * 4
    for row, pair in enumerate(unpack(images, 2)[:2]):
        top, left = ((side - 24) // 2 * 2 for side in pair.lr.shape[-2:])
        truth = pair.hr[:, top : top + 48, left : left + 48]
        assert torch.equal(panel.images[4 * row + 3, :, :192:4, ::4], truth)


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    for number in range(3):
        save_noise(tmp_path / f"set/{number}.png", 30 + number, 40, seed=number)
    return tmp_path / "set"


def test_a_folder_with_truth_is_measured_whole_over_the_ranks(benchmark):
    config = tiny_config(evaluation={"benchmark": str(benchmark), "protocol": "y_channel"})
    alone = evaluate(config).metrics
    assert set(alone) == {"test/psnr", "test/ssim", "baseline/test/psnr", "baseline/test/ssim"}
    for metrics in run_ranks(2, lambda ranks: evaluate(config, ranks).metrics):
        assert metrics == pytest.approx(alone)
    standing = Standing(2, Best())
    assert evaluate(config, standing=standing).metrics.items() >= {"test/epoch": 2, "test/best_epoch": 2}.items()
    assert standing.best.psnr == pytest.approx(alone[config.selection_metric.metric])


@pytest.mark.parametrize(
    ("hr", "lr"),
    [("HR", "LR_x2/{}.png"), ("HR", "LR_bicubic/X2/{}x2.png"), ("GTmod12", "LRbicx2/{}.png")],
)
def test_a_folder_of_pairs_is_taken_with_its_own_low_resolution(benchmark, tmp_path, hr, lr):
    made = evaluate(tiny_config(evaluation={"benchmark": str(benchmark)})).metrics
    for number in range(3):
        pixels = np.asarray(Image.open(benchmark / f"{number}.png"))
        grey = np.full_like(pixels[::2, ::2][: (30 + number) // 2], 9)
        for name, image in ((f"{hr}/{number}.png", pixels), (lr.format(number), grey)):
            (tmp_path / "pairs" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "pairs" / name)
    given = evaluate(tiny_config(evaluation={"benchmark": str(tmp_path / "pairs")})).metrics
    assert given["baseline/test/psnr"] < made["baseline/test/psnr"] - 1
    with pytest.raises(ValueError, match="no pairs of scale 3; give as `benchmark`"):
        evaluate(tiny_config((3,), evaluation={"benchmark": str(tmp_path / "pairs")}))


def test_an_image_too_small_to_be_measured_is_named(tmp_path):
    save_noise(tmp_path / "set/a.png", 12, 40)
    with pytest.raises(ValueError, match=r"a\.png: 40x12 pixels are too few to be measured at scale 2"):
        evaluate(tiny_config(evaluation={"benchmark": str(tmp_path / "set")}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_bicubic_image_lies_where_the_image_does():
    image = torch.zeros(3, 4, 4, dtype=torch.uint8, device="cuda")
    assert enlarge_bicubic(image, 2).device == image.device

"""What an evaluation measures, over ranks, scales, folders with truth and folders without."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_pipelines.super_resolution.batch import unpack
from data_pipelines.super_resolution.bicubic import downscale
from tests.image_fixtures import noise, save_noise
from tests.ranks import run_ranks, solo
from tests.tasks import seeded
from tests.trainables.workloads.super_resolution.conftest import CPU, Nearest, start_of, tiny_batch, tiny_config
from trainables.contract.panels import ImagePanel, TablePanel
from trainables.workloads.super_resolution.evaluator import Best, ImageEvaluator, Standing
from trainables.workloads.super_resolution.plots import SamplePlots
from trainables.workloads.super_resolution.protocols.protocol import enlarge_bicubic, measure
from trainables.workloads.super_resolution.task import SuperResolutionTask


def evaluate(config, collectives=None, batches=(), standing=None, module=None):
    evaluator = ImageEvaluator(config, standing=standing, collectives=collectives or solo(), device=CPU)
    for batch in batches:
        evaluator.update(module or Nearest(), batch)
    return evaluator.compute(module or Nearest())


def names_of(place: str) -> set[str]:
    """Names of all that an evaluation tells of some images at one scale."""
    scores = {f"{place}/{name}{end}" for name in ("psnr", "ssim") for end in ("", "_low", "_high")}
    return {*scores, f"baseline/{place}/psnr", f"baseline/{place}/ssim", f"{place}/num_images"}


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
    assert found["val/num_images"] == 5 and len(found) == 4 * 2 * 3 + 1


def test_intervals_are_those_of_means_over_images_drawn_again():
    config = tiny_config((2, 3))
    batches = [tiny_batch(config, 2, seed=0), tiny_batch(config, 3, seed=1)]
    evaluation = evaluate(config, batches=batches)
    rows = evaluation.predictions()
    for name in ("psnr", "x3/ssim"):
        scores = [float(row[name] or 0) for row in rows]
        random, means = np.random.default_rng(0), []
        for _ in range(1000):
            means.append(sum(scores[number] for number in random.integers(0, 5, 5)) / 5)
        for end, share in (("low", 0.025), ("high", 0.975)):
            expected = np.quantile(means, share)
            assert evaluation.metrics[f"val/{name}_{end}"] == pytest.approx(expected)


def test_an_image_alone_has_no_interval():
    config = tiny_config()
    found = evaluate(config, batches=[tiny_batch(config, 1, seed=0)]).metrics
    assert not [name for name in found if name.endswith(("_low", "_high"))]


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
    assert set(evaluation.metrics) == names_of("test")
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
    assert set(alone) == names_of("set")
    assert alone["set/num_images"] == 3
    for metrics in run_ranks(2, lambda ranks: evaluate(config, ranks).metrics):
        assert metrics == pytest.approx(alone)
    standing = Standing(2, Best())
    assert evaluate(config, standing=standing).metrics.items() >= {"set/epoch": 2, "set/best_epoch": 2}.items()
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
    assert given["baseline/pairs/psnr"] < made["baseline/set/psnr"] - 1
    with pytest.raises(ValueError, match="no pairs of scale 3; give as `benchmark`"):
        evaluate(tiny_config((3,), evaluation={"benchmark": str(tmp_path / "pairs")}))


@pytest.fixture
def two_benchmarks(benchmark: Path, tmp_path: Path) -> list[str]:
    for number in range(2):
        save_noise(tmp_path / f"other/{number}.png", 50, 60 + number, seed=9 + number)
    return [str(benchmark), str(tmp_path / "other")]


def test_each_of_several_benchmarks_is_measured_by_its_name(two_benchmarks):
    config = tiny_config((2, 3), evaluation={"benchmark": two_benchmarks})
    both = evaluate(config).metrics
    for name, folder, count in (("set", two_benchmarks[0], 3), ("other", two_benchmarks[1], 2)):
        alone = evaluate(tiny_config((2, 3), evaluation={"benchmark": folder})).metrics
        assert alone[f"{name}/num_images"] == count and f"{name}/x3/psnr" in alone
        assert alone.items() <= both.items()
    assert len(both) == 2 * (4 * 2 * 2 + 1)
    for metrics in run_ranks(2, lambda ranks: evaluate(config, ranks).metrics):
        assert metrics == pytest.approx(both)


def test_rows_of_benchmarks_name_benchmark_and_image(two_benchmarks):
    evaluation = evaluate(tiny_config(evaluation={"benchmark": two_benchmarks}))
    rows = evaluation.predictions()
    images = [(row["split"], row["sample"], row["image"]) for row in rows]
    assert images == [
        *(("set", number, f"{number}.png") for number in range(3)),
        *(("other", number, f"{number}.png") for number in range(2)),
    ]
    mean = sum(float(row["baseline/ssim"] or 0) for row in rows[3:]) / 2
    assert mean == pytest.approx(evaluation.metrics["baseline/other/ssim"])


def test_every_image_of_a_benchmark_is_drawn_beside_its_scores(two_benchmarks):
    config = tiny_config(evaluation={"benchmark": two_benchmarks})
    alone = evaluate(config)
    tables = [panel for panel in alone.panels if isinstance(panel, TablePanel)]
    grids = [panel for panel in alone.panels if isinstance(panel, ImagePanel)]
    assert [table.key for table in tables] == ["set/images", "other/images"]
    assert list(tables[0].columns) == ["image", "psnr", "ssim", "bicubic psnr", "bicubic ssim", "picture"]
    by_name = {(row["split"], row["image"]): row for row in alone.predictions()}
    sides = []
    for table, benchmark in zip(tables, ("set", "other"), strict=True):
        for name, *scores, picture in table.rows:
            assert isinstance(name, str) and isinstance(picture, torch.Tensor)
            row = by_name[benchmark, name]
            assert scores == [row[key] for key in ("psnr", "ssim", "baseline/psnr", "baseline/ssim")]
            sides.append(picture.shape[-1] // 4)
    # images of 30 pixels are drawn as large as they are, those of 50 in the side that is asked for
    assert sides == [180, 180, 192, 192, 192]
    [_, grid] = grids
    row = by_name["other", "1.png"]
    assert grid.key == "other/comparison" and len(grid.images) == 2 * 4
    assert grid.captions[4:] == [
        "LR x2",
        f"bicubic {row['baseline/psnr']:.2f} dB, SSIM {row['baseline/ssim']:.4f}",
        f"ours {row['psnr']:.2f} dB, SSIM {row['ssim']:.4f}",
        "HR 1.png",
    ]
    truth = torch.from_numpy(np.asarray(Image.open(f"{two_benchmarks[1]}/1.png")).transpose(2, 0, 1).copy())
    assert torch.equal(grid.images[7, :, :192:4, ::4], truth[:, 0:48, 6:54])
    for panels in run_ranks(2, lambda ranks: evaluate(config, ranks).panels):
        assert torch.equal(panels[-1].images, grid.images)


def test_a_benchmark_that_is_missing_is_named_before_any_work(two_benchmarks, tmp_path):
    module = Nearest()
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        config = tiny_config(evaluation={"benchmark": [*two_benchmarks, str(tmp_path / "nowhere")]})
        evaluate(config, module=module)
    assert not module.sizes


def test_all_images_of_a_benchmark_that_are_bad_are_named(benchmark):
    (benchmark / "1.png").write_bytes(b"no image")
    save_noise(benchmark / "2.png", 12, 40)
    with pytest.raises(ValueError, match=r"(?s)^2 files cannot be used; .*1\.png: is of an unknown.*2\.png: 40x12"):
        evaluate(tiny_config(evaluation={"benchmark": str(benchmark)}))


@pytest.mark.parametrize("is_grey_result", [True, False])
def test_a_one_channel_file_is_measured_in_its_grey_levels(tmp_path, is_grey_result):
    grey = noise(40, 48, seed=5)
    (tmp_path / "set").mkdir()
    Image.fromarray(grey).save(tmp_path / "set/a.png")

    class Tinted(Nearest):
        def forward(self, image, scale=2):
            tint = torch.tensor([0.0, 0.11, -0.11]).view(3, 1, 1) * (not is_grey_result)
            return super().forward(image, scale) + tint

    found = evaluate(
        tiny_config(evaluation={"benchmark": str(tmp_path / "set"), "protocol": "y_channel"}), module=Tinted()
    )
    small = downscale(np.repeat(grey[..., None], 3, axis=2), 2)
    red, green, blue = (np.kron(small[..., 0], np.ones((2, 2))) / 255 + tint for tint in (0.0, 0.11, -0.11))
    if is_grey_result:
        green = blue = red
    levels = [np.round(255 * np.clip(colour, 0, 1)) for colour in (red, green, blue)]
    result = 0.299 * levels[0] + 0.587 * levels[1] + 0.114 * levels[2]
    total = 0.0
    for top in range(2, 38):
        for left in range(2, 46):
            total += (result[top, left] - float(grey[top, left])) ** 2
    expected = 10 * math.log10(255**2 / (total / (36 * 44)))
    assert found.metrics["set/psnr"] == pytest.approx(expected, abs=1e-6)


def test_an_image_too_small_to_be_measured_is_named(tmp_path):
    save_noise(tmp_path / "set/a.png", 12, 40)
    with pytest.raises(ValueError, match=r"a\.png: 40x12 pixels are too few to be measured at scale 2"):
        evaluate(tiny_config(evaluation={"benchmark": str(tmp_path / "set")}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_bicubic_image_lies_where_the_image_does():
    image = torch.zeros(3, 4, 4, dtype=torch.uint8, device="cuda")
    assert enlarge_bicubic(image, 2).device == image.device

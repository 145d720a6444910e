"""What settings are refused, and why."""

import subprocess
import sys

import pytest

from ray_jobs.runs.planning import refuse_missing_inputs
from ray_jobs.settings.experiment import check_settings
from tests.trainables.workloads.super_resolution.conftest import SYMUNET, TRANSENET, tiny_config
from trainables.workloads.super_resolution.config import SuperResolutionConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "1*L2"}, "'L2' in '1\\*L2' is no type of loss"),
        ({"network": {"name": "srgan"}}, "'symunet', 'edsr', 'transenet'"),
        ({"network": {**SYMUNET, "encoder_heads": [1]}}, "have 2, 2 and 1 entries; give one for each level"),
        ({"network": {**SYMUNET, "encoder_heads": [3, 2]}}, "3 heads do not divide the 4 channels of level 0"),
        ({"network": {**SYMUNET, "middle_heads": 5}}, "5 heads do not divide the 16 channels of level 2"),
        ({"network": TRANSENET, "data": {"lr_patch_size": 14}}, "must be a multiple of `network.patch_side` \\(4\\)"),
        ({"evaluation": {"metrics": ["ssim"]}}, "psnr decides which model is best"),
        ({"evaluation": {"metrics": ["psnr", "lpips"]}}, "give `perceptual.lpips`, the file alex.pth or vgg.pth"),
        ({"evaluation": {"metrics": ["psnr", "dists"]}}, "give `perceptual.dists`, the file weights.pt"),
        ({"evaluation": {"benchmark": ["/a", "/a"]}}, "name each folder once"),
        ({"evaluation": {"inference": {"tile_size": 16, "overlap": 16}}}, "`overlap` \\(16\\) must be below"),
    ],
)
def test_wrong_settings_are_explained(settings, message):
    with pytest.raises(ValueError, match=message):
        check_settings({"workload": {"name": "super_resolution", **settings}, "training": {"epochs": 1}}, origin="x")


def test_transenet_tiles_default_to_its_training_size():
    assert tiny_config().inference.tile_size is None
    inference = tiny_config(network=TRANSENET).inference
    assert (inference.tile_size, inference.overlap) == (12, 6)
    given = tiny_config(network=TRANSENET, evaluation={"inference": {"tile_size": 24, "overlap": 0}}).inference
    assert (given.tile_size, given.overlap) == (24, 0)


def test_the_goal_is_the_psnr_of_the_evaluated_split():
    assert tiny_config().selection_metric.metric == "val/psnr" and tiny_config().selection_metric.mode == "max"
    assert tiny_config(evaluation={"split": "test"}).selection_metric.metric == "test/psnr"
    assert tiny_config(evaluation={"benchmark": "/a"}).selection_metric.metric == "a/psnr"


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (None, []),
        ([], []),
        ("/data/Set5", ["Set5"]),
        (["/data/Set5", "/data/Set14"], ["Set5", "Set14"]),
        (["/data/Set5/HR", "/data/Set14/HR"], ["Set5_HR", "Set14_HR"]),
        (["/data/mine/test", "/data/Set5"], ["mine_test", "data_Set5"]),
        ("/data/B 100/..", ["__"]),
    ],
)
def test_benchmarks_are_named_by_their_folders(folders, names):
    config = tiny_config(evaluation={"benchmark": folders})
    assert list(config.benchmarks) == names
    assert config.measured == (tuple(names) or ("val",))


def test_each_benchmark_must_be_there(tmp_path):
    settings = {"name": "super_resolution", "evaluation": {"benchmark": [str(tmp_path), str(tmp_path / "gone")]}}
    experiment = check_settings({"workload": settings, "training": {"epochs": 1}}, origin="x")
    with pytest.raises(ValueError, match=r"benchmark\.1: there is no such file or folder: .*gone$"):
        refuse_missing_inputs(experiment)
    there = experiment.override({"workload.evaluation.benchmark": [str(tmp_path)]})
    moved = experiment.override({"workload.evaluation.benchmark": [f"/elsewhere/{tmp_path.name}"]})
    other = experiment.override({"workload.evaluation.benchmark": ["/elsewhere/other"]})
    refuse_missing_inputs(there)
    assert there.digest == moved.digest != other.digest


def test_the_best_perceptual_distance_is_the_lowest():
    files = {"lpips": "/a", "alexnet": "/b", "dists": "/c", "vgg16": "/d"}
    config = tiny_config(evaluation={"metrics": ["psnr", "lpips", "dists"], "perceptual": files})
    assert [config.selectable[f"val/{name}"] for name in ("psnr", "lpips", "dists")] == ["max", "min", "min"]


def test_trackers_receive_epoch_metrics_alone_on_the_epoch_axis():
    axes = SuperResolutionConfig.metric_x_axes
    assert axes["train/*"] is None and {axes["train/epoch_*"], axes["*"]} == {"epoch"}


def test_settings_import_neither_torch_nor_image_libraries():
    code = (
        "import sys; from ray_jobs.settings.experiment import check_settings; "
        "from trainables.workloads import build_pipeline; "
        "e = check_settings({'workload': {'name': 'super_resolution'}, 'training': {'epochs': 1}}, origin='x'); "
        "build_pipeline(e.workload); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'ray', 'PIL', 'skimage')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

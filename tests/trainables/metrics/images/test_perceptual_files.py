"""What is loaded for the perceptual metrics, what is refused, and that a task measures with it."""

from pathlib import Path

import pytest

from data_pipelines.super_resolution.batch import unpack
from tests.ranks import solo
from tests.tasks import seeded
from tests.trainables.metrics.images.backbone_files import save_backbone, save_dists, save_linear
from tests.trainables.workloads.super_resolution.conftest import CPU, Nearest, tiny_batch, tiny_config
from trainables.metrics.images.perceptual import Dists, Lpips, load_perceptual
from trainables.workloads.super_resolution.task import SuperResolutionTask


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save_backbone(folder / "vgg16.pth", "vgg16")
    save_linear(folder / "vgg.pth", "vgg16")
    save_dists(folder / "weights.pt")
    return {
        "lpips": folder / "vgg.pth",
        "dists": folder / "weights.pt",
        "alexnet": None,
        "vgg16": folder / "vgg16.pth",
    }


def test_only_what_is_asked_for_is_loaded(files):
    assert load_perceptual(["psnr", "ssim"], dict.fromkeys(files), CPU) == {}
    assert list(load_perceptual(["psnr", "dists"], {**files, "lpips": None}, CPU)) == ["dists"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lpips": None}, "`lpips` is not given; expected alex.pth or vgg.pth"),
        ({"vgg16": None}, "`vgg16` is not given; expected vgg16-397923af.pth of torchvision"),
        ({"dists": "/nowhere/weights.pt"}, "`dists` names no file, /nowhere/weights.pt; expected weights.pt"),
        ({"lpips": "dists"}, "weights.pt: holds no linear layers of LPIPS"),
        ({"vgg16": "lpips"}, "vgg.pth: is no state dict of VGG-16"),
    ],
)
def test_a_missing_or_other_file_is_named(files, changes, message):
    given = {name: files.get(value, value and Path(value)) for name, value in changes.items()}
    with pytest.raises(ValueError, match=r"^`workload\.evaluation\.perceptual`: ") as raised:
        load_perceptual(["psnr", "lpips", "dists"], {**files, **given}, CPU)
    assert message in str(raised.value)


def test_a_task_measures_inside_the_border_with_networks(files):
    config = tiny_config(evaluation={"metrics": ["psnr", "lpips", "dists"], "perceptual": files})
    config.check_inputs()
    task = seeded(SuperResolutionTask)(config, {}, 0)
    batch = tiny_batch(config, 2)
    evaluator = task.evaluator(solo(), CPU)
    evaluator.update(Nearest(), batch)
    found = evaluator.compute(Nearest()).metrics
    metrics = {"lpips": Lpips(files["lpips"], files["vgg16"]), "dists": Dists(files["dists"], files["vgg16"])}
    for name, metric in metrics.items():
        values = []
        for pair in unpack(batch, 2):
            image = pair.lr.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
            values.append(float(metric(*(each[:, 2:-2, 2:-2] for each in (image, pair.hr)))))
        assert found[f"val/{name}"] == pytest.approx(sum(values) / 2, rel=1e-9)
        assert 0 < found[f"baseline/val/{name}"] != found[f"val/{name}"]
    assert not any("vgg" in key or "stages" in key for key in task.module.state_dict())

"""Samples that depend on seed, class and number alone, and likelihoods of pictures."""

import io
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from data_pipelines.storage.folder import Folder
from tests.saved_models import save_task
from tests.tasks import seeded
from trainables.contract.prediction import Input
from trainables.contract.seeding import seeded_generator
from trainables.inference.loading import load_model, read_options
from trainables.inference.model_files import open_model
from trainables.inference.predict_folder import PredictionPlan, predict_folder, work_here
from trainables.workloads.flow_matching.flow.guidance import draw_noise, generate
from trainables.workloads.flow_matching.picture_likelihood import compute_likelihood
from trainables.workloads.flow_matching.pixels import dequantise, to_uint8
from trainables.workloads.flow_matching.prediction_options import FlowOptions
from trainables.workloads.flow_matching.predictor import FlowMatchingPredictor
from trainables.workloads.flow_matching.task import FlowMatchingTask

from .conftest import CPU, DATA_SPEC, tiny_config

NAMES = DATA_SPEC["class_names"]


def save_tiny(folder: Path, **changes: Any) -> str:
    config = tiny_config(**changes)
    task = seeded(FlowMatchingTask)(config, DATA_SPEC, seed=3)
    nn.init.normal_(task.module.get_parameter("conv_out.weight"), std=0.3, generator=torch.Generator().manual_seed(5))
    return save_task(folder, task, config, DATA_SPEC)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("flow"))


def load(saved: str, **options: Any) -> FlowMatchingPredictor:
    predictor = load_model(saved, device="cpu", **options)
    assert isinstance(predictor, FlowMatchingPredictor)
    return predictor


def predict(saved: str, out: Path, source: Path | None = None, **options: Any) -> dict[str, Any]:
    model = open_model(Folder(saved))
    plan = PredictionPlan(model, read_options(model, options), Folder(str(out)))
    return predict_folder(plan, source and Folder(str(source)), work_here(plan, CPU))


def find(saved: str, source: Path | None = None, **options: Any) -> list[Input]:
    model = open_model(Folder(saved))
    source_folder = None if source is None else Folder(str(source))
    return FlowMatchingPredictor.find_inputs(model, source_folder, read_options(model, options))


def save_picture(file: Path, side: int = 4) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return pixels


def read_png(file: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file.read_bytes())))


@pytest.mark.parametrize("solver", [{}, {"solver": "dopri5", "tolerance": 0.05}], ids=["euler", "dopri5"])
def test_a_sample_is_the_same_whatever_else_is_drawn(saved, solver):
    many = load(saved, num_per_class=11, batch_size=4, **solver).generate()
    few = load(saved, num_per_class=5, batch_size=4, classes=["mixed"], **solver).generate()
    assert [(sample.class_name, sample.index) for sample in few] == [("mixed", index) for index in range(5)]
    for sample, other in zip(few, [each for each in many if each.class_name == "mixed"][:5], strict=True):
        assert np.array_equal(sample.image, other.image)
    assert len({sample.image.tobytes() for sample in many}) == 33


def test_two_processes_draw_what_one_draws(saved, tmp_path):
    predict(saved, tmp_path, num_per_class=7, batch_size=3)
    items = find(saved, num_per_class=7, batch_size=3)
    assert [item.indices for item in items[:3]] == [(0, 1, 2), (3, 4, 5), (6,)] and len(items) == 9
    workers = [load(saved, num_per_class=7, batch_size=3) for _ in range(2)]
    for place, item in reversed(list(enumerate(items))):
        for name, content in workers[place % 2].predict_input(item).files.items():
            assert (tmp_path / name).read_bytes() == content


def test_a_sample_is_the_flow_of_its_own_noise(saved):
    (sample,) = load(saved, num_per_class=3, seed=4, batch_size=1).generate(classes=["light"])[2:]
    predictor = load(saved)
    generator = seeded_generator(4, "sample of light", 2)
    noise = torch.randn(1, 4, 4, generator=generator)[None]
    label = torch.tensor([1])
    with torch.no_grad():
        expected = generate(
            predictor.task.module, noise, label, null_label=3, sampling=tiny_config().evaluation.sampling
        )
    assert np.array_equal(sample.image[..., 0], to_uint8(expected.images)[0, 0].numpy())
    assert sample.nfe == 2


def test_samples_lie_in_a_folder_for_each_class(saved, tmp_path):
    summary = predict(saved, tmp_path, num_per_class=3, seed=1)
    assert summary["tables"] == ["predictions.csv", "grid.png"]
    names = [f"{name}/{index:06d}.png" for name in NAMES for index in range(3)]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*.png")) == sorted(names)
    table = (tmp_path / "predictions.csv").read_text().splitlines()
    assert table[0] == "input,class,index,seed,nfe,file"
    assert table[1] == "dark/000000-000002,dark,0,1,2,dark/000000.png" and len(table) == 10
    expected = {
        f"{each.class_name}/{each.index:06d}.png": each for each in load(saved, num_per_class=3, seed=1).generate()
    }
    for name in names:
        assert np.array_equal(read_png(tmp_path / name), expected[name].image[..., 0])


def test_the_grid_has_a_row_for_each_class_beside_its_name(saved, tmp_path):
    predict(saved, tmp_path, num_per_class=3)
    grid = read_png(tmp_path / "grid.png")
    zoom, gap = 16, 2
    height, width = 3 * (4 * zoom + gap) + gap, 3 * (4 * zoom + gap) + gap
    margin = grid.shape[1] - width
    assert grid.shape[0] == height and 20 < margin < 80
    assert all((grid[66 * row : 66 * (row + 1), :margin] < 128).any() for row in range(3))
    for row, name in enumerate(NAMES):
        tile = read_png(tmp_path / f"{name}/000001.png")
        top, left = gap + row * 66, margin + gap + 66
        assert np.array_equal(grid[top : top + 64 : zoom, left : left + 64 : zoom, 0], tile)


def test_classes_go_by_name_or_number(saved):
    assert [item.name for item in find(saved, classes=[2, "dark"])] == ["mixed/000000-000015", "dark/000000-000015"]
    for wrong in ("lihgt", 3, -1):
        with pytest.raises(ValueError, match=r"is no class of the model.*dark, light, mixed.*from 0 to 2"):
            find(saved, classes=[wrong])


def test_without_labels_samples_are_of_no_class(saved, tmp_path):
    predict(saved, tmp_path, guidance=0.0, num_samples=5, batch_size=4)
    assert len(list((tmp_path / "samples").glob("*.png"))) == 5
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1].startswith("samples/000000-000003,,0,")
    assert read_png(tmp_path / "grid.png").shape == (68, 5 * 66 + 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 3}, "give --num-per-class"),
        ({"guidance": 0, "num_per_class": 3}, "--num-per-class: with guidance 0 .* give --num-samples"),
        ({"guidance": 0, "classes": ["dark"]}, "--classes: with guidance 0"),
        ({"divergence": "exact"}, "--divergence is for likelihoods of pictures, given as --input"),
        ({"solver": "dopri5", "nfe": 4}, "must be null with solver: dopri5"),
        ({"solver": "rk4", "nfe": 6}, "must be a multiple of 4"),
        ({"tolerance": 1e-4}, "--tolerance is of dopri5 only"),
        ({"interpolate": (1, 1)}, "the numbers of two samples"),
        ({"classes": [True]}, "classes"),
    ],
)
def test_options_that_do_not_fit_are_refused(saved, options, message):
    with pytest.raises(ValueError, match=message):
        find(saved, **options)


def test_a_model_without_labels_or_without_null_class_says_so(tmp_path):
    never = save_tiny(tmp_path / "never", label_drop_ratio=0.0, pictures=_pictures(1.0))
    with pytest.raises(ValueError, match="the null class of guidance never; give --guidance 1"):
        find(never, guidance=2.0)
    save_picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"trained with classes alone.* give --classes"):
        find(never, tmp_path / "a.png")
    assert len(find(never, tmp_path / "a.png", classes=["dark"])) == 1


def _pictures(guidance: float) -> Any:
    pictures = tiny_config().pictures
    comparisons = tuple(each.model_copy(update={"guidance": guidance}) for each in pictures.comparisons)
    return pictures.model_copy(update={"comparisons": comparisons})


def test_a_strip_begins_and_ends_with_the_two_samples(saved, tmp_path):
    predict(saved, tmp_path, interpolate=(2, 0), steps_between=3, classes=["light"])
    assert (tmp_path / "predictions.csv").read_text().splitlines()[0] == "input,class,first,last,seed,nfe,file"
    pixels = read_png(tmp_path / "light/from_2_to_0.png")
    assert pixels.shape == (68, 5 * 66 + 2)
    samples = load(saved, num_per_class=3).generate(classes=["light"])
    for left, index in ((2, 2), (2 + 4 * 66, 0)):
        found = pixels[2:66:16, left : left + 64 : 16].astype(int)
        assert np.abs(found - samples[index].image[..., 0]).max() <= 1  # another size of batch
    (strip,) = load(saved).interpolate(2, 0, classes=["light"], steps_between=3)
    assert strip.images.shape == (5, 4, 4, 1)
    assert np.array_equal(pixels[2:66:16, 68:132:16], strip.images[1, ..., 0])


class Gaussian(nn.Module):
    """The velocity that leads to independent values of one mean and deviation, another for each label."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        mean, time = label.view(-1, 1, 1, 1) / 4, t.view(-1, 1, 1, 1)
        variance = (1 - time) ** 2 + 0.25 * time**2
        return mean + (0.25 * time - (1 - time)) / variance * (x - time * mean)


@pytest.mark.parametrize("label", [None, 1])
def test_bits_per_dimension_of_a_gaussian_are_known(label):
    pixels = torch.randint(0, 256, (1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    options = FlowOptions(divergence="exact", tolerance=1e-6, seed=5)
    with torch.inference_mode():
        found = compute_likelihood(Gaussian(), pixels, "a.png", options, class_names=NAMES, label=label)
    image = dequantise(pixels, seeded_generator(5, "dequantisation of a.png"))
    mean = (3 if label is None else label) / 4
    log_density = float(torch.distributions.Normal(mean, 0.5).log_prob(image).sum())
    assert found.log_density == pytest.approx(log_density, abs=1e-2)
    assert found.bits_per_dim == pytest.approx(-(log_density / 16 + math.log(1 / 127.5)) / math.log(2), abs=1e-3)
    assert found.standard_error is None and found.class_name == (None if label is None else "light")


def test_each_picture_has_a_row_for_each_class_given(saved, tmp_path):
    (tmp_path / "in").mkdir()
    save_picture(tmp_path / "in/a.png")
    save_picture(tmp_path / "in/b.png")
    summary = predict(saved, tmp_path / "out", tmp_path / "in", classes=["dark", "mixed"], solver="euler", nfe=4)
    rows = (tmp_path / "out/predictions.csv").read_text().splitlines()
    assert summary["tables"] == ["predictions.csv"] and len(rows) == 5
    assert rows[0] == "input,class,bits_per_dim,log_density,standard_error,nfe"
    values = [row.split(",") for row in rows[1:]]
    assert [row[:2] for row in values] == [["a.png", "dark"], ["a.png", "mixed"], ["b.png", "dark"], ["b.png", "mixed"]]
    assert all(0 < float(row[2]) < 20 and float(row[4]) > 0 for row in values)
    assert values[0][2] != values[1][2] and values[0][2] != values[2][2]  # another class, another dequantisation


def test_hutchinsons_mean_is_near_the_exact_value(saved, tmp_path):
    pixels, steps = save_picture(tmp_path / "a.png"), {"solver": "heun", "nfe": 8}
    ((exact,),) = load(saved, divergence="exact", **steps).log_likelihood([tmp_path / "a.png"])
    ((estimate,),) = load(saved, num_probes=200, **steps).log_likelihood([tmp_path / "a.png"])
    assert estimate.standard_error is not None and exact.standard_error is None
    assert abs(estimate.bits_per_dim - exact.bits_per_dim) < 3 * estimate.standard_error
    again, other = load(saved, divergence="exact", **steps).log_likelihood([tmp_path / "a.png", pixels])
    assert again == [exact] and other[0].bits_per_dim != exact.bits_per_dim


def test_a_picture_of_another_size_is_resized_with_a_warning(saved, tmp_path, caplog):
    save_picture(tmp_path / "large.png", side=12)
    with caplog.at_level(logging.WARNING):
        load(saved, solver="euler", nfe=2).log_likelihood([tmp_path / "large.png"])
    assert "large.png: is 12x12 and resized to the training's 4x4" in caplog.text


def test_options_of_samples_are_refused_with_pictures(saved, tmp_path):
    save_picture(tmp_path / "a.png")
    for options in ({"num_per_class": 2}, {"guidance": 2.0}, {"interpolate": (0, 1)}):
        with pytest.raises(ValueError, match="is for samples, which are drawn without --input"):
            find(saved, tmp_path / "a.png", **options)
    with pytest.raises(ValueError, match="--solver heun needs --nfe"):
        load(saved, solver="heun").log_likelihood([tmp_path / "a.png"])


def test_dequantisation_stays_within_the_grey_level():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(20).view(20, 16, 16)
    noisy = dequantise(pixels, torch.Generator().manual_seed(0))
    assert torch.equal(to_uint8(noisy.clamp(-1, 1)), pixels)
    offsets = (noisy + 1) * 127.5 - pixels
    assert -0.5 <= float(offsets.min()) < -0.49 and 0.49 < float(offsets.max()) <= 0.5 + 1e-4
    assert abs(float(offsets.mean())) < 0.02


def test_values_that_are_not_finite_are_an_error(tmp_path):
    task = seeded(FlowMatchingTask)(tiny_config(), DATA_SPEC, seed=3)
    with torch.no_grad():
        task.module.get_parameter("conv_out.weight").fill_(math.nan)
    saved = save_task(tmp_path, task, tiny_config(), DATA_SPEC)
    with pytest.raises(ValueError, match="samples of dark hold values that are not finite"):
        load(saved).generate(num_per_class=1)


def test_noise_differs_by_seed_class_and_number():
    def draw(group: str, index: int, seed: int) -> bytes:
        stream = io.BytesIO()
        torch.save(draw_noise(group, [index], seed=seed, shape=(1, 2, 2)), stream)
        return stream.getvalue()

    assert len({draw("a", 0, 0), draw("b", 0, 0), draw("a", 1, 0), draw("a", 0, 1)}) == 4
    assert torch.equal(
        draw_noise("a", [3, 1], seed=0, shape=(1, 2, 2))[1], draw_noise("a", [1], seed=0, shape=(1, 2, 2))[0]
    )

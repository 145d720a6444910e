"""Pictures are enlarged in their own form, as an evaluation enlarges them."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from data_pipelines.readers.picture import Picture, read_picture, write_picture
from data_pipelines.storage.folder import Folder
from tests.saved_models import save_untrained
from tests.trainables.workloads.super_resolution.conftest import NETWORKS
from trainables import load_model
from trainables.contract.input_files import describe_input
from trainables.workloads.super_resolution.config import Inference
from trainables.workloads.super_resolution.inference.upscaler import Upscaler
from trainables.workloads.super_resolution.predictor import SuperResolutionPredictor

CPU = torch.device("cpu")
SETTINGS = {"name": "super_resolution", "data": {"scales": [2, 3], "lr_patch_size": 12}, "network": NETWORKS["edsr"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(save_untrained(tmp_path_factory.mktemp("run"), SETTINGS, {}))


def load(model: str, **options: Any) -> SuperResolutionPredictor:
    return cast(SuperResolutionPredictor, load_model(model, device="cpu", **options))


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def test_a_picture_is_enlarged_as_an_evaluation_does(model):
    pixels = noise(11, 9, 3)
    predictor = load(model)
    [found] = predictor.predict([pixels])
    upscaler = Upscaler(Inference(), CPU)
    expected = upscaler(predictor.task.module, torch.from_numpy(pixels).permute(2, 0, 1), 2)
    np.testing.assert_array_equal(np.asarray(found), expected.permute(1, 2, 0).numpy())
    assert np.asarray(load(model, scale=3).predict([pixels])[0]).shape == (33, 27, 3)


def test_all_forms_of_a_picture_give_the_same(model, tmp_path):
    pixels = noise(11, 9, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    forms = [pixels, tensor, tensor.float() / 255, Image.fromarray(pixels), tmp_path / "a.png", str(tmp_path / "a.png")]
    found = [np.asarray(image) for image in load(model).predict(forms)]
    assert all(np.array_equal(image, found[0]) for image in found)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3, 4, 5)), np.zeros((4, 4, 2), np.uint8), np.full((4, 4), 7.0), np.zeros((4, 4), np.int64)]
)
def test_what_is_no_picture_is_refused(model, wrong):
    with pytest.raises(ValueError, match="picture"):
        load(model).predict([wrong])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("channels", "has_alpha"), [(1, False), (3, True)])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_depth_grey_and_transparency_stay(model, tmp_path, dtype, channels, has_alpha, form):
    alpha = np.full((11, 9), 1000 if dtype == np.uint16 else 10, dtype) if has_alpha else None
    picture = Picture(noise(11, 9, channels, dtype=dtype), alpha, form)
    name = f"a.{form.lower()}"
    (tmp_path / name).write_bytes(write_picture(picture))
    prediction = load(model).predict_input(describe_input(Folder(str(tmp_path)), name))
    [(file, content)] = prediction.files.items()
    assert file == f"{name}_x2{'.tif' if form == 'TIFF' else '.png'}" == prediction.rows[0]["file"]
    (tmp_path / file).write_bytes(content)
    found = read_picture(tmp_path / file)
    assert found.colours.shape == (22, 18, channels) and found.colours.dtype == dtype and found.form == form
    assert (found.alpha is not None) == has_alpha
    if alpha is not None:
        assert (found.alpha == alpha[0, 0]).all()


def test_16_bits_are_finer_than_8(model):
    fine = load(model).enlarge(Picture(noise(11, 9, 3, dtype=np.uint16))).colours
    coarse = load(model).enlarge(Picture(noise(11, 9, 3, dtype=np.uint16) >> 8 << 8)).colours
    assert len(np.unique(fine % 256)) > 100 and not np.array_equal(fine, coarse)


def test_options_change_what_they_say(model):
    pixels = noise(30, 40, 3)
    plain, tiled, ensemble, projected = (
        np.asarray(load(model, **options).predict([pixels])[0]).astype(int)
        for options in ({}, {"tile_size": 16}, {"self_ensemble": True}, {"back_projections": 2})
    )
    assert abs(plain - tiled).max() <= 1 and abs(plain - ensemble).max() > 1 and abs(plain - projected).max() > 1


def test_a_scale_that_was_not_learnt_is_refused(model):
    with pytest.raises(ValueError, match="option scale: 4; the model was trained for 2, 3"):
        load_model(model, scale=4)


def test_a_network_of_one_size_gets_tiles(tmp_path):
    settings = {**SETTINGS, "data": {"scales": [2], "lr_patch_size": 12}, "network": NETWORKS["transenet"]}
    predictor = load(str(save_untrained(tmp_path, settings, {})))
    assert np.asarray(predictor.predict([noise(20, 31, 3)])[0]).shape == (40, 62, 3)


def test_a_comparison_shows_bicubic_beside_ours(model, tmp_path):
    pixels = noise(11, 30, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    predictor = load(model, compare=True)
    files = predictor.predict_input(describe_input(Folder(str(tmp_path)), "a.png")).files
    (tmp_path / "both.png").write_bytes(files["compare/a.png_x2.png"])
    (tmp_path / "ours.png").write_bytes(files["a.png_x2.png"])
    both, ours = (np.asarray(Image.open(tmp_path / name)) for name in ("both.png", "ours.png"))
    np.testing.assert_array_equal(both[-22:, -60:], ours)
    assert not np.array_equal(both[-22:, :60], ours)

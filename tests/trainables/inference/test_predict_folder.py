"""Prediction of many files: what is done once, what is named, and what is refused."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_pipelines.storage.folder import Folder
from tests.s3_server import set_credentials, started_s3_server
from tests.saved_models import save_untrained
from trainables import load_model
from trainables.inference.loading import read_options
from trainables.inference.model_files import open_model
from trainables.inference.predict_folder import PredictionPlan, predict_folder, work_here

SPEC = {"channels": 1, "height": 8, "width": 8, "class_names": ["zero", "one", "two"]}
SETTINGS = {"name": "pruning", "arch": "res20s", "data": {"source": "digits"}}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(save_untrained(tmp_path_factory.mktemp("run"), SETTINGS, SPEC))


@pytest.fixture
def pictures(tmp_path) -> Path:
    """12 of them, two folders deep."""
    folder = tmp_path / "pictures"
    draws = np.random.default_rng(0)
    for number in range(12):
        file = folder / f"{'ab'[number % 2]}/picture{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (9 + number, 11), dtype=np.uint8)).save(file)
    return folder


class Work:
    """Work in this process that counts its inputs, and can stop before the end."""

    def __init__(self, plan: PredictionPlan, stops_after: int | None = None):
        self._work = work_here(plan, torch.device("cpu"))
        self._stops_after, self.names = stops_after, []

    def __call__(self, inputs):
        for result in self._work(inputs):
            if len(self.names) == self._stops_after:
                raise KeyboardInterrupt
            self.names.append(result["name"])
            yield result


def make_plan(model: str, out: str, **options) -> PredictionPlan:
    opened = open_model(Folder(model))
    return PredictionPlan(opened, read_options(opened, options), Folder(out))


def run(model: str, source: Path, out: Path, **options):
    plan = make_plan(model, str(out), **options)
    work = Work(plan)
    return predict_folder(plan, Folder(str(source)), work), work.names


def table(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_name_that_is_no_utf8_is_predicted_like_others(model, pictures, tmp_path):
    (pictures / "a/picture0.png").rename(pictures / "a/caf\udce9.png")
    run(model, pictures, tmp_path / "out")
    assert r"a/caf\xe9.png" in [row["input"] for row in table(tmp_path / "out")]
    assert run(model, pictures, tmp_path / "out")[0]["done_before"] == 12


def test_every_file_gets_the_row_that_python_gets(model, pictures, tmp_path):
    summary, _ = run(model, pictures, tmp_path / "out")
    assert (summary["inputs"], summary["predicted"], summary["done_before"]) == (12, 12, 0)
    rows = table(tmp_path / "out")
    order = [*range(0, 12, 2), *range(1, 12, 2)]
    assert [row["input"] for row in rows] == [f"{'ab'[number % 2]}/picture{number}.png" for number in order]
    predictor = load_model(model, device="cpu")
    for row in rows:
        [answer] = predictor.predict([pictures / row["input"]])
        assert (
            row["class"] == answer.class_name == max(answer.probabilities, key=lambda name: answer.probabilities[name])
        )
        assert [float(row[f"p({name})"]) for name in SPEC["class_names"]] == list(answer.probabilities.values())
        assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_an_interrupted_prediction_goes_on(model, pictures, tmp_path):
    whole = tmp_path / "whole"
    run(model, pictures, whole)
    plan = make_plan(model, str(tmp_path / "out"))
    with pytest.raises(KeyboardInterrupt):
        predict_folder(plan, Folder(str(pictures)), Work(plan, stops_after=5))
    assert not (tmp_path / "out/predictions.csv").exists()
    summary, names = run(model, pictures, tmp_path / "out")
    assert (summary["done_before"], summary["predicted"], len(names)) == (5, 7, 7)
    assert (tmp_path / "out/predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["predictions.csv", "predictions.json"]


def test_only_new_and_replaced_files_are_predicted_again(model, pictures, tmp_path):
    run(model, pictures, tmp_path / "out")
    shutil.copy(pictures / "a/picture0.png", pictures / "a/new.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(pictures / "b/picture1.png")
    summary, names = run(model, pictures, tmp_path / "out")
    assert sorted(names) == ["a/new.png", "b/picture1.png"] and summary["done_before"] == 11
    assert len(table(tmp_path / "out")) == 13


def test_the_record_says_which_model_made_what(model, pictures, tmp_path):
    run(model, pictures, tmp_path / "out", top_k=2)
    record = json.loads((tmp_path / "out/predictions.json").read_text())
    assert record["source"] == model and record["step"] == 3 and record["options"] == {"top_k": 2}
    assert record["model"] == open_model(Folder(model)).digest and len(record["inputs"]) == 12
    with pytest.raises(ValueError, match="is of other predictions: `top_k` is 2 there and 3 here; give another --out"):
        run(model, pictures, tmp_path / "out", top_k=3)


def test_warnings_of_many_files_are_counted(model, tmp_path, caplog):
    (tmp_path / "deep").mkdir()
    for number in range(24):
        Image.fromarray(np.full((8, 8), 5000 + number, np.uint16)).save(tmp_path / f"deep/{number}.png")
    run(model, tmp_path / "deep", tmp_path / "out")
    said = [each.getMessage() for each in caplog.records if "16-bit grey levels" in each.getMessage()]
    assert len(said) == 21 and said[-1].startswith("and 4 more of: ...: has 16-bit")


def test_damaged_files_are_named_after_all_others_are_done(model, pictures, tmp_path, caplog):
    for name in ("a/bad.png", "b/worse.png"):
        (pictures / name).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"2 files cannot be used, all others are predicted") as caught:
        run(model, pictures, tmp_path / "out")
    assert "a/bad.png: is of an unknown kind" in str(caught.value) and "b/worse.png" in str(caught.value)
    assert len(table(tmp_path / "out")) == 12
    plan = make_plan(model, str(tmp_path / "out"))
    work = Work(plan)
    summary = predict_folder(plan, Folder(str(pictures)), work, on_bad_file="skip")
    assert summary["faults"].keys() == {"a/bad.png", "b/worse.png"} and sorted(work.names) == [
        "a/bad.png",
        "b/worse.png",
    ]
    assert "2 files are left out" in caplog.text


def test_a_model_moves_without_its_run(model, pictures, tmp_path):
    shutil.copytree(model, tmp_path / "elsewhere/mine")
    run(str(tmp_path / "elsewhere/mine"), pictures, tmp_path / "out")
    run(model, pictures, tmp_path / "other")
    assert (tmp_path / "out/predictions.csv").read_bytes() == (tmp_path / "other/predictions.csv").read_bytes()
    summary, _ = run(model, pictures, tmp_path / "out")  # the same model at another place
    assert summary["done_before"] == 12


def test_a_run_s_folder_means_its_best_model(model):
    run_folder = Path(model).parents[1]
    assert open_model(Folder(str(run_folder))).source == model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "does not exist"),
        (lambda folder: folder.mkdir(), "holds no file to predict; expected .png"),
        (lambda folder: folder.write_text("x"), "is no file of a known kind; expected .png"),
    ],
)
def test_inputs_that_are_none_are_refused(model, tmp_path, make, message):
    make(tmp_path / "input")
    with pytest.raises(ValueError, match=message):
        run(model, tmp_path / "input", tmp_path / "out")


def test_results_never_become_inputs(model, pictures):
    with pytest.raises(ValueError, match="lies in --input"):
        run(model, pictures, pictures / "out")


def test_one_file_is_an_input(model, pictures, tmp_path):
    summary, names = run(model, pictures / "a/picture0.png", tmp_path / "out")
    assert names == ["picture0.png"] and summary["inputs"] == 1


def test_what_is_no_model_is_said(tmp_path, model):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is no model; give a run's folder or a model version"):
        open_model(Folder(str(tmp_path / "empty")))
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    file = damaged / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model\.safetensors has \d+ bytes instead of"):
        load_model(str(damaged))


def test_unknown_options_name_the_known_ones(model):
    with pytest.raises(ValueError, match="'scale' is no option of pruning; options: top_k"):
        load_model(model, scale=2)
    with pytest.raises(ValueError, match="option top_k: Input should be greater than or equal to 1"):
        load_model(model, top_k=0)


@pytest.fixture
def s3_server(monkeypatch):
    set_credentials(monkeypatch)
    with started_s3_server() as server:
        yield server


def test_inputs_and_results_on_object_storage(model, pictures, tmp_path, s3_server):
    run(model, pictures, tmp_path / "local")
    source, out = Folder(s3_server.uri("pictures")), Folder(s3_server.uri("out"))
    for file in pictures.rglob("*.png"):
        source.write(file.relative_to(pictures).as_posix(), file.read_bytes())
    plan = make_plan(model, out.uri)
    assert predict_folder(plan, source, Work(plan))["predicted"] == 12
    assert out.read("predictions.csv") == (tmp_path / "local/predictions.csv").read_bytes()
    assert predict_folder(plan, source, Work(plan))["done_before"] == 12


def test_files_that_cannot_be_opened_are_named(model, pictures, tmp_path):
    os.symlink(tmp_path / "nowhere.png", pictures / "a/link.png")
    with pytest.raises(ValueError, match=r"a/link\.png: is a link to .*nowhere\.png, which does not exist"):
        run(model, pictures, tmp_path / "out")

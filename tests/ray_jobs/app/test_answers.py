"""Dropped files are predicted as `predict` does it; what cannot be done is said, and the next call works."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from data_pipelines.heart_sounds.datasets.synthetic import RATE, generate_heart_sound
from ray_jobs.app.answers import MOST_SHOWN, Answer, AppModel
from ray_jobs.prediction_arguments import read_words
from ray_jobs.runs.model_references import open_reference
from tests.ray_jobs.command import call
from tests.saved_models import save_tiny


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """Loads a tiny model of a workload, once."""
    loaded: dict[str, AppModel] = {}

    def load_app(workload: str) -> AppModel:
        if workload not in loaded:
            folder = tmp_path_factory.mktemp(workload)
            loaded[workload] = AppModel(open_reference(save_tiny(folder, workload), None), folder / "app")
        return loaded[workload]

    return load_app


def ask(model: AppModel, *files: Path, **words: str) -> Answer:
    return model.answer(files, read_words(model.model, words))


def save_picture(file: Path, *shape: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def open_picture(file: Path) -> Image.Image:
    return Image.open(io.BytesIO(file.read_bytes()))


def captions(answer: Answer) -> list[str]:
    return [each.caption for each in answer.shown]


def test_the_rows_are_those_of_the_command(load, tmp_path, capsys):
    model = load("pruning")
    (tmp_path / "in").mkdir()
    files = [save_picture(tmp_path / f"in/{name}.png", 8, 8) for name in ("a", "b")]
    answer = ask(model, *files)
    call(capsys, "predict", model.model.source, "--input", tmp_path / "in", "--out", tmp_path / "out")
    assert answer.files["predictions.csv"].read_text() == (tmp_path / "out/predictions.csv").read_text()
    with answer.files["predictions.csv"].open() as stream:
        written = list(csv.DictReader(stream))
    assert [{name: str(value) for name, value in row.items()} for row in answer.rows] == written
    assert captions(answer) == ["input a.png", "input b.png"] and answer.faults == []


def test_a_picture_is_shown_before_and_after(load, tmp_path):
    file = save_picture(tmp_path / "a.tif", 20, 30, 3)
    answer = ask(load("super_resolution"), file, scale="3", compare="true")
    assert captions(answer) == ["input a.tif", "a.tif_x3.tif", "compare/a.tif_x3.png"]
    before, after, _ = (open_picture(each.file) for each in answer.shown)
    assert (before.format, after.format) == ("PNG", "PNG") and [each.is_wide for each in answer.shown] == [0, 0, 1]
    small = before.resize((30, 20), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(np.asarray(small), np.asarray(open_picture(file)))
    result = open_picture(answer.files["a.tif_x3.tif"])
    assert (result.format, result.size) == ("TIFF", (90, 60))


def test_a_recording_gets_its_picture_and_verdict(load, tmp_path):
    made = generate_heart_sound(np.random.default_rng(1), duration_s=4.0, beats_per_min=80, murmur=0.05)
    wavfile.write(tmp_path / "beats.wav", RATE, made.sound.samples.astype(np.float32))
    answer = ask(load("heart_sound_finetune"), tmp_path / "beats.wav", pictures="true")
    assert captions(answer) == ["pictures/beats.wav.png"] and answer.rows[0]["answer"] is not None
    assert list(answer.files) == ["predictions.csv", "patients.csv", "pictures/beats.wav.png"]


def test_dropped_frames_are_one_clip(load, tmp_path):
    frames = [save_picture(tmp_path / f"frame{number}.png", 12, 16) for number in range(3)]
    answer = ask(load("video_prediction"), *frames, formats="gif")
    assert captions(answer) == ["dropped/draw_0/prediction.gif"] and answer.rows[0]["last_past_frame"] == 2
    assert answer.shown[0].file.read_bytes().startswith(b"GIF")


def test_samples_are_drawn_without_a_file(load):
    answer = ask(load("flow_matching"), num_per_class="5")
    assert captions(answer)[:3] == ["grid.png", "0/000000.png", "0/000001.png"]
    assert (len(answer.shown), answer.num_hidden) == (MOST_SHOWN, 51 - MOST_SHOWN) and len(answer.files) == 52


def test_a_damaged_file_is_named_beside_the_others_answers(load, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    answer = ask(load("pruning"), save_picture(tmp_path / "good.png", 9, 9), tmp_path / "bad.png")
    assert [fault[:25] for fault in answer.faults] == ["bad.png: is of an unknown"]
    assert [row["input"] for row in answer.rows] == ["good.png"]
    alone = ask(load("pruning"), tmp_path / "bad.png")
    assert len(alone.faults) == 1 and not alone.rows and not alone.files and not alone.shown


def test_a_result_that_cannot_be_shown_can_be_downloaded(load, tmp_path, monkeypatch):
    monkeypatch.setattr("ray_jobs.app.answers.MOST_SHOWN", 3)
    monkeypatch.setattr("trainables.workloads.super_resolution.predictor.write_picture", lambda picture: b"damaged")
    answer = ask(load("super_resolution"), save_picture(tmp_path / "a.png", 8, 8, 3))
    assert captions(answer) == ["input a.png"] and "a.png_x2.png is not shown: " in answer.faults[0]
    assert answer.files["a.png_x2.png"].read_bytes() == b"damaged"


@pytest.mark.parametrize(
    ("names", "words", "message"),
    [
        ([], {}, "there is no file yet; drop one (.png, "),
        (["a.txt"], {}, "a.txt: of no known kind; expected .png, "),
        (["a.png", "deep/a.png"], {}, "several files are called a.png; give them other names"),
        (["a.png"], {"scale": "7"}, "option scale: 7; the model was trained for 2, 3"),
        (["a.png"], {"scale": "large"}, "option scale: Input should be a valid integer"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_next_call_works(load, tmp_path, names, words, message):
    (tmp_path / "deep").mkdir()
    files = [tmp_path / name for name in names]
    for file in files:
        Image.new("L", (8, 8)).save(file, format="PNG")
    with pytest.raises(ValueError) as caught:
        ask(load("super_resolution"), *files, **words)
    assert message in str(caught.value)
    assert ask(load("super_resolution"), save_picture(tmp_path / "good.png", 8, 8)).rows


def test_a_call_deletes_what_the_last_one_left(load, tmp_path):
    model = load("pruning")
    first = ask(model, save_picture(tmp_path / "first.png", 8, 8))
    second = ask(model, save_picture(tmp_path / "second.png", 8, 8))
    assert not first.shown[0].file.exists() and second.shown[0].file.exists()
    assert first.shown[0].file.parent != second.shown[0].file.parent
    assert not list(model.folder.rglob("*first*"))

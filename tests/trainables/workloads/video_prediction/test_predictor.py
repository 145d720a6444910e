"""Futures of new clips: which frames they follow from, which draws are the same, which files are written."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.storage.folder import Folder
from data_pipelines.video.frame_folders import FrameClip
from data_pipelines.video.pipeline import VideoPipeline
from data_pipelines.video.video_files import VideoClip
from tests.data_pipelines.conftest import serve_mock
from tests.saved_models import save_task
from tests.video_fixtures import save_sound, save_video
from trainables.contract.seeding import seeded_generator
from trainables.inference.loading import load_model, read_options
from trainables.inference.model_files import open_model
from trainables.inference.predict_folder import PredictionPlan, predict_folder, work_here
from trainables.workloads.video_prediction.bordered_frames import FUTURE, PAST
from trainables.workloads.video_prediction.clip_inputs import find_clips, read_clip
from trainables.workloads.video_prediction.diffusion.predictors import rollout
from trainables.workloads.video_prediction.plots import to_8_bit
from trainables.workloads.video_prediction.prediction_options import choose_past
from trainables.workloads.video_prediction.predictor import VideoPredictionPredictor, draw_animation, encode_future

from .conftest import CPU, DATA, tiny_config, tiny_task

__all__ = ["serve_mock"]
SHAPE = ImageShape(1, 12, 16)
SIMVP = {"network": {"name": "simvp", "channels": 8, "num_blocks": 1, "hidden_channels": 8}}


def save_tiny(folder: Path, **changes: Any) -> str:
    config = tiny_config(**changes)
    return save_task(folder, tiny_task(config), config, VideoPipeline(config.data).data_spec())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three frames from two of 12x16, by diffusion."""
    return save_tiny(tmp_path_factory.mktemp("dit"))


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("simvp"), **SIMVP)


@pytest.fixture(scope="module")
def strided(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("strided"), **SIMVP, data={**DATA, "sample_interval": 2})


def load(saved: str, **options: Any) -> VideoPredictionPredictor:
    predictor = load_model(saved, device="cpu", **options)
    assert isinstance(predictor, VideoPredictionPredictor)
    return predictor


def predict(saved: str, source: Path | str, out: Path, **options: Any) -> dict[str, Any]:
    model = open_model(Folder(saved))
    plan = PredictionPlan(model, read_options(model, options), Folder(str(out)))
    return predict_folder(plan, Folder(str(source)), work_here(plan, CPU))


def save_clip(folder: Path, count: int, *, first: int = 0, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    """Frames of noise, which follow from their numbers; returns [time, height, width]."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8) for number in range(first, count)]
    for number, frame in enumerate(frames, start=first):
        Image.fromarray(frame).save(folder / f"frame{number:03d}.png")
    return np.stack(frames)


def read_png(file: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file.read_bytes())))


def read_rows(out: Path) -> list[dict[str, str]]:
    header, *lines = (out / "predictions.csv").read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def test_what_has_not_happened_yet_is_predicted(saved, tmp_path):
    """Two frames are all that two past frames need; there is no truth."""
    pixels = save_clip(tmp_path / "in/walk", 2)
    predict(saved, tmp_path / "in", tmp_path / "out")
    (row,) = read_rows(tmp_path / "out")
    assert row == {
        "input": "walk", "draw": "0", "seed": "0", "num_past": "2", "first_past_frame": "0", "last_past_frame": "1",
        "sample_interval": "1", "num_predicted": "3", "nfe": "3", "files": "walk/draw_0",
    }  # fmt: skip
    predictor = load(saved)
    past = torch.from_numpy(pixels)[None, :, None]
    with torch.no_grad():
        generator = seeded_generator(0, "future of walk", 0)
        space = predictor.task.space
        found = rollout(predictor.task.predictor, predictor.task.module, space.encode(past), 3, [generator])
        expected = to_8_bit(space.decode(found.frames))[0, :, 0].numpy()
    files = sorted((tmp_path / "out/walk/draw_0").glob("*.png"))
    assert [file.name for file in files] == ["frame_t+1.png", "frame_t+2.png", "frame_t+3.png"]
    assert np.array_equal(np.stack([read_png(file) for file in files]), expected)


def test_a_draw_is_the_same_whatever_else_is_predicted(saved, tmp_path):
    for name in ("a", "b", "c"):
        save_clip(tmp_path / "in" / name, 4)
    predict(saved, tmp_path / "in", tmp_path / "all", draws=3)
    predict(saved, tmp_path / "in/b", tmp_path / "one", draws=2)
    items = VideoPredictionPredictor.find_inputs(
        open_model(Folder(saved)), Folder(str(tmp_path / "in")), load(saved).options
    )
    workers = [load(saved, draws=3) for _ in range(2)]  # of two processes, in another order
    pictures = []
    for place, item in reversed(list(enumerate(items))):
        for name, content in workers[place % 2].predict_input(item).files.items():
            assert (tmp_path / "all" / name).read_bytes() == content
            pictures += [content] if name.endswith(".png") else []
    assert len(set(pictures)) == 27  # each clip of the same frames, and each draw, has noise of its own
    for file in (tmp_path / "one/b").rglob("*.png"):
        assert file.read_bytes() == (tmp_path / "all" / file.relative_to(tmp_path / "one")).read_bytes()
    assert len(list((tmp_path / "one/b").rglob("*.png"))) == 6


def test_another_seed_gives_other_futures(saved, tmp_path):
    save_clip(tmp_path / "walk", 2)
    first, again, other = (load(saved, seed=seed).predict([tmp_path / "walk"])[0].future for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_longer_horizon_begins_with_the_shorter_one(saved, tmp_path):
    save_clip(tmp_path / "walk", 5)
    (short,), (long,) = (load(saved, horizon=horizon).predict([tmp_path / "walk"]) for horizon in (3, 7))
    assert short.future.shape == (1, 3, 12, 16, 1) and long.future.shape == (1, 7, 12, 16, 1)
    assert np.array_equal(long.future[:, :3], short.future) and (short.nfe, long.nfe) == (3, 9)


def test_start_forgets_the_frames_from_there_on(regression, tmp_path):
    pixels = save_clip(tmp_path / "whole", 9)
    save_clip(tmp_path / "begun", 6)
    (whole,) = load(regression, start=6).predict([tmp_path / "whole"])
    (begun,) = load(regression).predict([tmp_path / "begun"])
    assert whole.past_places == (4, 5) and np.array_equal(whole.past[..., 0], pixels[4:6])
    assert np.array_equal(whole.future, begun.future)


def test_past_frames_have_the_distance_of_the_training(strided, tmp_path):
    pixels = save_clip(tmp_path / "walk", 9)
    (clip,) = load(strided).predict([tmp_path / "walk"])
    assert clip.past_places == (6, 8) and np.array_equal(clip.past[..., 0], pixels[[6, 8]])
    data = tiny_config(data={**DATA, "num_past": 3, "sample_interval": 2}).data
    assert list(choose_past(5, data, None)) == [0, 2, 4] and list(choose_past(9, data, 7)) == [2, 4, 6]
    with pytest.raises(ValueError, match=r"has 4 frames; .* 3 past frames at sample_interval 2, of 5 in all; give"):
        choose_past(4, data, None)
    with pytest.raises(ValueError, match=r"has 4 frames before --start 4; .* or a later --start"):
        choose_past(9, data, 4)
    with pytest.raises(ValueError, match="--start 10 is behind its end; give at most 9"):
        choose_past(9, data, 10)


def test_frames_are_brought_to_the_models_size_as_for_training(regression, tmp_path):
    save_clip(tmp_path / "in/large", 3, size=(30, 60))
    save_video(tmp_path / "in/walk.mkv", 8)
    frames, video = load(regression).predict([tmp_path / "in/large", tmp_path / "in/walk.mkv"])
    files = tuple(sorted((tmp_path / "in/large").iterdir()))
    assert np.array_equal(frames.past.transpose(0, 3, 1, 2), FrameClip("large", files).read(SHAPE)[1:])
    expected = VideoClip("walk", 6, 8, tmp_path / "in/walk.mkv").read(SHAPE)
    assert np.array_equal(video.past.transpose(0, 3, 1, 2), expected)
    assert video.rate_hz == pytest.approx(10) and frames.rate_hz is None and video.past_places == (6, 7)


def test_arrays_and_tensors_are_clips(regression, tmp_path):
    pixels = save_clip(tmp_path / "walk", 3)
    array = pixels[..., None]
    forms = [array, array / 255, np.repeat(array, 3, axis=3), torch.from_numpy(array).permute(0, 3, 1, 2)]
    expected, *found = load(regression).predict([tmp_path / "walk", *forms])
    assert [clip.name for clip in found] == ["clip_1", "clip_2", "clip_3", "clip_4"]
    for clip in found:
        assert np.array_equal(clip.past, expected.past) and np.array_equal(clip.future, expected.future)
    with pytest.raises(ValueError, match=r"clip_0: a clip of the shape \[3, 12, 16\]; expected \[time, height"):
        load(regression).predict([pixels])
    with pytest.raises(ValueError, match="clip_0: has 1 frames; the model predicts from 2 past frames; give a longer"):
        load(regression).predict([array[:1]])


def test_clips_are_videos_and_folders_that_hold_frames(regression, tmp_path):
    save_clip(tmp_path / "in/b/left", 3)
    save_clip(tmp_path / "in/b/right", 3)
    save_clip(tmp_path / "in/a10", 3)
    save_video(tmp_path / "in/a9.mkv", 3)
    predict(regression, tmp_path / "in", tmp_path / "out", formats=["png"])
    assert [row["input"] for row in read_rows(tmp_path / "out")] == ["a9.mkv", "a10", "b/left", "b/right"]
    assert (tmp_path / "out/a9.mkv/draw_0/frame_t+1.png").exists()
    save_clip(tmp_path / "in", 3)  # a clip with clips inside
    predict(regression, tmp_path / "in", tmp_path / "again", formats=["png"])
    names = [row["input"] for row in read_rows(tmp_path / "again")]
    assert sorted(names) == ["in", "in/a10", "in/a9.mkv", "in/b/left", "in/b/right"]


def test_a_frame_that_was_replaced_is_predicted_again(regression, tmp_path):
    save_clip(tmp_path / "in/walk", 3)
    assert predict(regression, tmp_path / "in", tmp_path / "out")["predicted"] == 1
    assert predict(regression, tmp_path / "in", tmp_path / "out")["predicted"] == 0
    save_clip(tmp_path / "in/walk", 4)
    assert predict(regression, tmp_path / "in", tmp_path / "out")["predicted"] == 1
    assert read_rows(tmp_path / "out")[0]["last_past_frame"] == "3"


def test_of_a_remote_clip_only_past_frames_are_read(regression, tmp_path, serve_mock, monkeypatch):
    save_clip(tmp_path / "bucket/in/walk", 40)
    save_video(tmp_path / "bucket/in/run.mkv", 5)
    serve_mock(tmp_path / "bucket")
    read: list[str] = []
    original = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, name: read.append(name) or original(self, name))
    predict(regression, "mock://in", tmp_path / "out")
    assert read[-3:] == ["run.mkv", "frame038.png", "frame039.png"]
    predict(regression, tmp_path / "bucket/in", tmp_path / "local")
    for file in (tmp_path / "local").rglob("*.png"):
        assert file.read_bytes() == (tmp_path / "out" / file.relative_to(tmp_path / "local")).read_bytes()
    assert len(list((tmp_path / "local").rglob("*.png"))) == 6


def test_clips_that_cannot_be_used_are_named(regression, tmp_path):
    save_clip(tmp_path / "good", 3)
    save_clip(tmp_path / "short", 1)
    save_clip(tmp_path / "gap", 3)
    save_clip(tmp_path / "gap", 6, first=4)
    save_clip(tmp_path / "two", 3)
    Image.new("L", (16, 12)).save(tmp_path / "two/other0.png")
    save_clip(tmp_path / "broken", 3)
    (tmp_path / "broken/frame002.png").write_bytes(b"no image")
    save_clip(tmp_path / "unnumbered", 1)
    (tmp_path / "unnumbered/frame000.png").rename(tmp_path / "unnumbered/first.png")
    save_sound(tmp_path / "sound.mp4")
    with pytest.raises(ValueError, match="6 files cannot be used, all others are predicted") as caught:
        predict(regression, tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    for words in (
        "short: has 1 frames; the model predicts from 2 past frames",
        "gap: frame003.png: this frame is missing after frame002.png",
        "two: holds frames of 2 names (frame*, other*); give each clip a folder of its own",
        "broken: frame002.png: is of an unknown kind",
        "unnumbered: first.png: the name has no number",
        "sound.mp4: has no video stream (it holds audio)",
    ):
        assert words in str(caught.value)
    with pytest.raises(ValueError, match=r"frame000\.png is one picture; give the folder with the frames of a clip"):
        predict(regression, tmp_path / "good/frame000.png", tmp_path / "out")
    with pytest.raises(BadFileError, match="short: has 1 frames"):
        load(regression).predict([tmp_path / "short"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 2}, "--draws 2: the network simvp predicts one future, the same every time"),
        ({"steps": 2}, "--steps: the network simvp has no sampler"),
        ({"method": "ddpm"}, "--method: the network simvp has no sampler"),
    ],
)
def test_a_deterministic_network_has_one_future(regression, options, message):
    with pytest.raises(ValueError, match=message):
        load(regression, **options)


def test_the_sampler_can_be_chosen(saved, tmp_path):
    save_clip(tmp_path / "walk", 2)
    default, ddpm, more = (
        load(saved, **options).predict([tmp_path / "walk"])[0] for options in ({}, {"method": "ddpm"}, {"steps": 5})
    )
    assert (default.nfe, ddpm.nfe, more.nfe) == (3, 3, 5)
    assert not np.array_equal(default.future, ddpm.future) and not np.array_equal(default.future, more.future)
    with pytest.raises(ValueError, match="--steps 21 is more than the model's 20"):
        load(saved, steps=21)
    with pytest.raises(ValueError, match="--eta is of ddim only, and the method is ddpm"):
        load(saved, method="ddpm", eta=0.5)


def test_the_border_changes_where_the_prediction_begins():
    past, future = np.zeros((2, 12, 16, 1), np.uint8), np.full((3, 12, 16, 1), 200, np.uint8)
    frames = draw_animation(past, future)
    assert [tuple(frame[0, 0]) for frame in frames] == [PAST] * 2 + [FUTURE] * 3
    assert [int(frame[100, 100, 1]) for frame in frames] == [0, 0, 200, 200, 200]
    assert frames[0].shape == (12 * 12 + 28, 16 * 12 + 10, 3)
    captions = [frame[-18:].tobytes() for frame in frames]
    assert len(set(captions)) == 5


def test_animations_are_true_to_time(regression, tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    save_clip(tmp_path / "in/frames", 3)
    save_video(tmp_path / "in/walk.mkv", 8)
    predict(regression, tmp_path / "in", tmp_path / "out", formats=["gif", "mp4"])
    rates = {}
    for name in ("walk.mkv", "frames"):
        folder = tmp_path / f"out/{name}/draw_0"
        assert sorted(file.name for file in folder.iterdir()) == ["prediction.gif", "prediction.mp4"]
        with Image.open(folder / "prediction.gif") as gif:
            assert sum(1 for _ in ImageSequence.Iterator(gif)) == 5
            duration_ms = gif.info["duration"]
        with av.open(str(folder / "prediction.mp4")) as container:
            rates[name] = (duration_ms, float(container.streams.video[0].average_rate))
            assert len(list(container.decode(video=0))) == 5
    assert rates == {"walk.mkv": (100, 10.0), "frames": (250, 4.0)}
    predict(regression, tmp_path / "in/walk.mkv", tmp_path / "slow", formats=["gif"], fps=2)
    with Image.open(tmp_path / "slow/walk.mkv/draw_0/prediction.gif") as gif:
        assert gif.info["duration"] == 500


def test_a_clip_at_every_second_frame_plays_at_half_its_rate(strided, tmp_path):
    save_video(tmp_path / "walk.mkv", 8)
    (clip,) = load(strided).predict([tmp_path / "walk.mkv"])
    assert clip.rate_hz == pytest.approx(5) and clip.past_places == (5, 7)


def test_mp4_without_pyav_says_how_to_get_it(regression, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"PyAV, which is not installed: pip install quintet\[video\]"):
        load(regression, formats=["mp4"])


def test_numbers_of_many_frames_sort_by_time():
    frames = np.zeros((12, 8, 8, 3), np.uint8)
    names = list(encode_future("a", frames, frames, formats=["png"], frames_per_s=4))
    assert names[0] == "a/frame_t+01.png" and names[-1] == "a/frame_t+12.png" and sorted(names) == names


def test_predictions_that_are_not_finite_are_an_error(regression, tmp_path, monkeypatch):
    save_clip(tmp_path / "walk", 2)
    predictor = load(regression)
    monkeypatch.setattr(predictor.task.module, "forward", lambda past: Tensor(past.repeat(1, 2, 1, 1, 1) * torch.nan))
    with pytest.raises(ValueError, match="walk: the model predicts values that are not finite"):
        predictor.predict([tmp_path / "walk"])


def test_a_video_is_brought_to_the_rate_of_the_training(tmp_path):
    save_video(tmp_path / "walk.mkv", 9)  # at 10 frames/s, of level 10 * place
    (item,) = find_clips(Folder(str(tmp_path / "walk.mkv")))
    clip = read_clip(item, ImageShape(1, 8, 8), lambda count: range(count - 2, count), 5)
    assert (clip.places, clip.rate_hz) == ((6, 8), 5) and clip.frames[:, 0, 4, 4].tolist() == [60, 80]
    with pytest.raises(ValueError, match=r"walk\.mkv: has 10 frames/s, fewer than `frames_per_s` 25"):
        read_clip(item, ImageShape(1, 8, 8), range, 25)

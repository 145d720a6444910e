"""Files of predicted clips: pictures and animations."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.trainables.workloads.video_prediction.saved_predictors import load, predict, regression, save_clip, strided
from tests.video_fixtures import save_video
from trainables.workloads.video_prediction.bordered_frames import FUTURE, PAST
from trainables.workloads.video_prediction.predictor import draw_animation, encode_future

__all__ = ["regression", "strided"]


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

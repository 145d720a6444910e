"""Videos brought to one rate, by the times of their frames."""

import logging
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from data_pipelines.video.config import VideoData
from data_pipelines.video.pipeline import VideoPipeline
from data_pipelines.video.sources import list_clips
from data_pipelines.video.video_facts import VideoFacts, choose_frames
from data_pipelines.video.video_files import list_video_files

from .test_video_facts import SHAPE, save

FILE = Path("a.mp4")


def facts(times_s: np.ndarray, **rates: float) -> VideoFacts:
    return VideoFacts(len(times_s), 1 / float(np.median(np.diff(times_s))), times_s=times_s, **rates)


@pytest.mark.parametrize(("own_hz", "rate_hz"), [(60, 25), (25, 10), (30, 12.5), (29.97, 15), (10, 9.8)])
def test_the_frames_nearest_in_time_are_taken(own_hz, rate_hz):
    times = np.arange(90) / own_hz
    found = choose_frames(facts(times), rate_hz, FILE)
    assert found is not None
    count = 0
    while count / rate_hz <= times[-1] + 1e-9:
        distances = [abs(time - count / rate_hz) for time in times]
        assert distances[found[count]] == pytest.approx(min(distances), abs=1e-9)
        count += 1
    assert len(found) == count


def test_a_variable_rate_becomes_even():
    times = np.array([0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6])
    found = choose_frames(facts(times, slowest_hz=10, fastest_hz=20), 10, FILE)
    assert found is not None and times[found].tolist() == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_a_file_of_the_rate_keeps_all_frames():
    assert choose_frames(facts(np.arange(400) / 29.97), 30, FILE) is None


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (facts(np.arange(9) / 10), r"a\.mp4: has 10 frames/s, fewer than `frames_per_s` 25"),
        (VideoFacts(9), "unknown times"),
    ],
)
def test_a_file_that_cannot_have_the_rate_is_named(known, words):
    with pytest.raises(ValueError, match=words):
        choose_frames(known, 25, FILE)


def test_files_of_two_rates_have_the_same_steps_in_time(tmp_path, caplog):
    """The grey of a frame tells its place: 60 and 30 frames/s at 10 are every sixth and every third frame."""
    save(tmp_path / "a/fast.mp4", 36, rate=60)
    save(tmp_path / "a/slow.mp4", 18, rate=30)
    with caplog.at_level(logging.WARNING):
        listing = list_video_files(tmp_path, frames_per_s=10)
    assert not caplog.messages and listing.rate_hz == 10
    for clip, step in zip((*listing.clips["train"], *listing.clips["test"]), (6, 3), strict=True):
        levels = clip.read(SHAPE)[:, 0, 24, 36].astype(int)
        assert clip.num_frames == 6 == len(levels)
        assert np.abs(levels - [20 * (step * place % 12) for place in range(6)]).max() < 8
        parts = [clip.cut(0, 2), clip.cut(2, 6)]
        assert np.array_equal(np.concatenate([part.read(SHAPE) for part in parts]), clip.read(SHAPE))


def test_a_file_below_the_rate_is_refused_or_left_out(tmp_path, caplog):
    for name, rate in (("a", 25), ("b", 25), ("c", 5)):
        save(tmp_path / f"{name}.mp4", 20, rate=rate)
    data = VideoData(source="videos", path=tmp_path, num_past=1, num_future=1, frames_per_s=10)
    with pytest.raises(ValueError, match=r"c\.mp4: has 5 frames/s, fewer than `frames_per_s` 10"):
        list_clips(data)
    listing = list_clips(data.model_copy(update={"on_bad_file": "skip"}))
    assert [clip.name for clips in listing.clips.values() for clip in clips] == ["a.mp4", "b.mp4"]
    assert "1 damaged videos are left out" in caplog.text


def test_the_rate_is_known_where_all_files_share_it(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"one/{name}.mp4", 9, rate=25)
        save(tmp_path / f"two/{name}.mp4", 9, rate=25 if name == "a" else 50)
    settings = {"source": "videos", "num_past": 1, "num_future": 1}
    one, two = (VideoPipeline(VideoData(path=tmp_path / name, **settings)) for name in ("one", "two"))
    assert one.data_spec()["rate_hz"] == pytest.approx(25) and "rate_hz" not in two.data_spec()
    other = VideoPipeline(VideoData(path=tmp_path / "one", **settings, frames_per_s=5))
    assert other.data_spec()["rate_hz"] == 5 and other.key != one.key


def test_a_rate_is_for_videos_alone():
    with pytest.raises(ValidationError, match="`frames_per_s` is only for source: videos, not for bouncing_digits"):
        VideoData(frames_per_s=5)

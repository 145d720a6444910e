"""Video files, where PyAV is installed."""

import builtins
import os
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.video.video_facts import read_facts
from data_pipelines.video.video_files import VideoClip, list_video_files
from tests.video_fixtures import save_video

SHAPE = ImageShape(3, 32, 48)


def test_every_file_is_a_clip_in_natural_order(tmp_path):
    for name, count in (("b10", 9), ("b9", 12)):
        save_video(tmp_path / f"{name}.mkv", count)
    clips = list_video_files(tmp_path).clips
    assert [(clip.name, clip.num_frames) for split in ("train", "test") for clip in clips[split]] == [
        ("b9.mkv", 12),
        ("b10.mkv", 9),
    ]
    assert clips["train"][0].read(SHAPE)[:, 1, 5, 5].tolist() == [10 * place for place in range(12)]
    assert clips["train"][0].cut(3, 5).read(SHAPE)[:, 1, 5, 5].tolist() == [30, 40]


def test_frames_that_a_trimmed_file_hides_are_not_counted(tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    with av.open(str(tmp_path / "trimmed.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.options = {"g": "12", "sc_threshold": "1000000000"}  # only the first frame stands by itself
        images = [
            av.VideoFrame.from_ndarray(np.full((32, 48, 3), 100 + n, np.uint8), format="rgb24") for n in range(12)
        ]
        for packet in [packet for image in [*images, None] for packet in stream.encode(image)]:
            hidden = round(4 / (10 * packet.time_base))  # times below 0 become an edit list
            packet.pts, packet.dts = packet.pts - hidden, packet.dts - hidden
            container.mux(packet)
    clip = VideoClip("trimmed", 0, read_facts(tmp_path / "trimmed.mp4").num_frames, tmp_path / "trimmed.mp4")
    assert clip.num_frames == len(clip.read(SHAPE)) == 8


def test_one_file_is_split_in_time(tmp_path):
    save_video(tmp_path / "only.mkv", 10)
    clips = list_video_files(tmp_path / "only.mkv").clips
    assert [clips[split][0].num_frames for split in ("train", "test")] == [8, 2]
    assert clips["test"][0].read(SHAPE)[:, 0, 0, 0].tolist() == [80, 90]


@pytest.mark.parametrize("flags", ["+ildct+ilme", ""])
def test_interlaced_frames_are_named_once(tmp_path, caplog, flags):
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"flags": flags} if flags else {})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        grey = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 100, np.uint8), format="rgb24")
        for packet in [packet for image in (grey, grey, None) for packet in stream.encode(image)]:
            container.mux(packet)
    VideoClip("a", 0, 2, tmp_path / "a.avi").read(SHAPE)
    assert caplog.text.count("a.avi: is interlaced: every other line is of a later moment") == bool(flags)


def test_a_file_that_is_no_video_is_named(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    (tmp_path / "broken.mp4").write_bytes(b"this is no video" * 50)
    with pytest.raises(ValueError, match=r"broken\.mp4: is no video: it is .*begins with 'this is no video'"):
        list_video_files(tmp_path)
    with pytest.raises(ValueError, match="nowhere does not exist"):
        list_video_files(tmp_path / "nowhere")


def test_without_pyav_the_remedy_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_av(name: str, *arguments, **more):
        if name == "av":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(ValueError, match=r"pip install quintet\[video\]"):
        read_facts(tmp_path / "a.mp4")


@pytest.mark.skipif("QUINTET_VIDEOS" not in os.environ, reason="needs QUINTET_VIDEOS, a folder of videos")
def test_real_videos_are_counted_and_decoded_completely():
    for clips in list_video_files(Path(os.environ["QUINTET_VIDEOS"])).clips.values():
        for clip in clips:
            assert len(clip.cut(clip.num_frames - 3, clip.num_frames).read(SHAPE)) == 3

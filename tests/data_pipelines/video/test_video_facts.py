"""How videos say to be shown, which frames they have, and what is no video."""

import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.video import video_files
from data_pipelines.video.video_decoder import VideoDecoder
from data_pipelines.video.video_facts import read_facts
from data_pipelines.video.video_files import VideoClip, list_video_files
from tests.video_fixtures import save_sound

av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
SHAPE = ImageShape(3, 32, 48)


def save(path: Path, count: int = 8, *, rate: int = 25, times: list[int] | None = None, **settings: Any) -> Path:
    """Red upper left quarter, and a grey that tells the frame's place; 48x32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        codec = {".mpg": "mpeg2video", ".wmv": "wmv2", ".webm": "libvpx"}.get(path.suffix.lower(), "libx264")
        stream = container.add_stream(codec, rate=rate, options=settings.get("options", {}))
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        if "pixel" in settings:
            stream.codec_context.sample_aspect_ratio = settings["pixel"]
        if "matrix" in settings:
            stream.set_display_matrix(settings["matrix"])
        for place in range(count):
            pixels = np.full((32, 48, 3), 20 * (place % 12), np.uint8)
            pixels[:16, :24] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[place], Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path, axes: tuple[int, int, int, int]) -> Path:
    """Write the display matrix of an .mp4 file."""
    content = bytearray(path.read_bytes())
    at = content.find(b"tkhd") + 4
    at += 4 + (20 if content[at] == 0 else 32) + 16
    values = (axes[0] << 16, axes[1] << 16, 0, axes[2] << 16, axes[3] << 16, 0, 0, 0, 1 << 30)
    content[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("axes", "size", "corner"),
    [
        ((1, 0, 0, 1), (48, 32), (0, 0)), ((0, 1, -1, 0), (32, 48), (1, 0)), ((-1, 0, 0, -1), (48, 32), (1, 1)),
        ((0, -1, 1, 0), (32, 48), (0, 1)), ((-1, 0, 0, 1), (48, 32), (1, 0)), ((1, 0, 0, -1), (48, 32), (0, 1)),
        ((0, 1, 1, 0), (32, 48), (0, 0)), ((0, -1, -1, 0), (32, 48), (1, 1)),
    ],
)  # fmt: skip
def test_frames_are_turned_and_mirrored_as_the_file_says(tmp_path, axes, size, corner):
    image = next(VideoDecoder(turn(save(tmp_path / "a.mp4"), axes)))
    red = np.argwhere(np.asarray(image)[..., 0] > 200).mean(axis=0)
    assert image.size == size
    assert (int(red[1] > size[0] / 2), int(red[0] > size[1] / 2)) == corner


@pytest.mark.parametrize(("pixel", "size"), [(Fraction(2), (96, 32)), (Fraction(1, 2), (48, 64))])
def test_pixels_become_square(tmp_path, pixel, size):
    assert next(VideoDecoder(save(tmp_path / "a.mp4", pixel=pixel))).size == size


def cut_open(path: Path) -> Path:
    """Begin a stream of open groups of pictures at its second key frame: three frames before it cannot be decoded."""
    options = {"x264-params": "keyint=20:min-keyint=20:scenecut=0:open-gop=1:bframes=3"}
    whole, keys = save(path.with_name("whole.mp4"), 60, options=options), 0
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            keys += packet.is_keyframe
            if packet.dts is not None and keys >= 2:
                packet.stream = copied
                target.mux(packet)
    whole.unlink()
    return path


def test_frames_that_a_cut_left_undecodable_are_not_counted(tmp_path):
    file = cut_open(tmp_path / "cut.mkv")
    with av.open(str(file)) as container:
        num_packets = sum(1 for packet in container.demux(video=0) if packet.size)
    count = read_facts(file).num_frames
    assert 30 < count < num_packets
    assert len(VideoClip("cut", 0, count, file).read(SHAPE)) == count


@pytest.mark.parametrize("name", ["a.mp4", "a.M4V", "a.mpg", "a.mpeg", "a.ts", "a.m2ts", "a.wmv", "a.webm", "a.MOV"])
def test_every_kind_of_file_is_counted_right(tmp_path, name):
    file = save(tmp_path / name)
    (clip,) = list_video_files(tmp_path).clips["train"]
    assert read_facts(file).num_frames == 8 and clip.files == (file,)
    assert len(VideoClip("a", 0, 8, file).read(SHAPE)) == 8


def test_whole_files_are_counted_without_decoding(tmp_path, monkeypatch):
    file = save(tmp_path / "a.mp4", 40)
    monkeypatch.setattr("data_pipelines.video.video_facts.decoded_frames", lambda *_: pytest.fail("decoded"))
    assert read_facts(file).num_frames == 40


def test_parts_are_read_in_one_pass_and_in_any_order(tmp_path, monkeypatch):
    file = save(tmp_path / "a.mp4", 12)
    opened = []
    real = video_files.VideoDecoder
    monkeypatch.setattr(video_files, "VideoDecoder", lambda path: opened.append(path) or real(path))
    whole = VideoClip("a", 0, 12, file).read(SHAPE)
    opened.clear()
    for start in range(0, 12, 3):
        assert np.array_equal(VideoClip("a", start, start + 3, file).read(SHAPE), whole[start : start + 3])
    assert len(opened) == 1
    for start in (6, 0, 9):
        assert np.array_equal(VideoClip("a", start, start + 3, file).read(SHAPE), whole[start : start + 3])
    assert len(opened) == 3


def test_a_part_beyond_the_end_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.mp4: only 8 of its 12 frames can be decoded"):
        VideoClip("a", 4, 12, save(tmp_path / "a.mp4")).read(SHAPE)


def test_mixed_rates_are_warned_of_once(tmp_path, caplog):
    for number, rate in enumerate((25, 25, 60)):
        save(tmp_path / f"{number}.mp4", rate=rate)
    with caplog.at_level(logging.WARNING):
        list_video_files(tmp_path)
    (record,) = caplog.records
    assert "25 frames/s: 2 (0.mp4, 1.mp4); 60 frames/s: 1 (2.mp4)" in record.getMessage()


def test_a_variable_rate_is_warned_of(tmp_path, caplog):
    save(tmp_path / "a.mkv", times=[0, 4, 8, 12, 28, 32, 36, 40], options={"bf": "0"})
    save(tmp_path / "b.mkv")
    with caplog.at_level(logging.WARNING):
        list_video_files(tmp_path)
    assert "1 of 2 videos have a variable frame rate, in frames/s: a.mkv (6.25 to 25)" in caplog.text


def test_all_files_that_are_no_video_are_named_together(tmp_path):
    save(tmp_path / "good.mp4")
    save_sound(tmp_path / "sound.mp4")
    (tmp_path / "empty.mkv").touch()
    (tmp_path / "page.mp4").write_text("<html>not found</html>" * 20)
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    with pytest.raises(ValueError) as error:
        list_video_files(tmp_path)
    words = str(error.value)
    assert "4 files cannot be used" in words and "good.mp4" not in words
    for part in (
        "sound.mp4: has no video stream (it holds audio)",
        "empty.mkv: is empty",
        "page.mp4: is no video: it is a web page",
        "gone.mp4: is a link to",
        "nowhere.mp4, which does not exist",
    ):
        assert part in words


def test_damage_in_the_middle_is_named(tmp_path):
    content = bytearray(save(tmp_path / "a.mp4", 60, options={"bf": "0", "g": "1"}).read_bytes())
    middle = content.find(b"mdat") + 2000
    content[middle : middle + 3000] = b"\xff" * 3000
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.mp4: (is damaged after its first|only \d+ of its)"):
        VideoClip("a", 0, 60, tmp_path / "a.mp4").read(SHAPE)


def test_other_endings_and_hidden_files_are_left_out(tmp_path, caplog):
    for name in ("a.mp4", "b.MP4", "__MACOSX/c.mp4"):
        save(tmp_path / name)
    for name in ("._a.mp4", "notes.txt", "more.txt"):
        (tmp_path / name).write_text("x")
    with caplog.at_level(logging.WARNING):
        clips = list_video_files(tmp_path).clips
    assert [clip.name for split in ("train", "test") for clip in clips[split]] == ["a.mp4", "b.MP4"]
    assert "2 files are left out (ending .txt: 2)" in caplog.text


def test_links_are_followed_and_each_file_is_used_once(tmp_path, caplog):
    save(tmp_path / "store/a.mp4")
    save(tmp_path / "clips/b.mp4")
    (tmp_path / "clips/linked").symlink_to(tmp_path / "store")
    (tmp_path / "clips/parent").symlink_to(tmp_path / "clips")
    os.link(tmp_path / "clips/b.mp4", tmp_path / "clips/c.mp4")
    with caplog.at_level(logging.WARNING):
        clips = list_video_files(tmp_path / "clips").clips
    assert sorted(clip.name for split in ("train", "test") for clip in clips[split]) == ["b.mp4", "linked/a.mp4"]
    assert "1 files are the same as another one" in caplog.text


def test_one_file_for_training_and_testing_is_refused(tmp_path):
    save(tmp_path / "train/a.mp4")
    (tmp_path / "test").mkdir()
    (tmp_path / "test/b.mp4").symlink_to(tmp_path / "train/a.mp4")
    with pytest.raises(ValueError, match=r"test/b\.mp4 and .*train/a\.mp4 are one file"):
        list_video_files(tmp_path)

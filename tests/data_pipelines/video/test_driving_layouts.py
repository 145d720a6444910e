"""The folders of Bench2Drive and nuScenes."""

import logging

import pytest

from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.video.config import VideoData
from data_pipelines.video.driving_layouts import list_bench2drive, list_nuscenes
from data_pipelines.video.sources import list_clips
from tests.video_fixtures import save_frames

CLIPS = [f"AccidentTwoWays_Town12_Route{number}_Weather0" for number in (9, 10, 1444)]


def test_bench2drive_clips_are_folders_with_a_camera(tmp_path):
    for name in CLIPS:
        save_frames(tmp_path / name / "camera/rgb_front", range(9), pattern="{:05d}.jpg")
        save_frames(tmp_path / name / "camera/rgb_back", range(3), pattern="{:05d}.jpg")
        (tmp_path / name / "anno").mkdir()
    listing = list_clips(VideoData(source="bench2drive", path=tmp_path))
    assert [clip.name for clip in listing.clips["train"]] == CLIPS[:2]
    assert [(clip.name, clip.num_frames) for clip in listing.clips["test"]] == [(CLIPS[2], 9)]
    assert list_bench2drive(tmp_path, "rgb_back").clips["train"][0].num_frames == 3


def test_a_bench2drive_clip_without_the_camera_is_named(tmp_path):
    save_frames(tmp_path / CLIPS[0] / "camera/rgb_back", range(3))
    with pytest.raises(ValueError, match=rf"{CLIPS[0]}/camera/rgb_front: holds no images"):
        list_bench2drive(tmp_path, "rgb_front")
    with pytest.raises(ValueError, match="holds no folders <clip>/camera/rgb_front"):
        list_bench2drive(tmp_path / CLIPS[0], "rgb_front")


def save_nuscenes(root, log: str, stamps: list[int]) -> None:
    """Every sixth frame is a key frame; the level of a frame is its place."""
    for place, stamp in enumerate(stamps):
        folder = root / ("samples" if place % 6 == 0 else "sweeps") / "CAM_FRONT"
        save_frames(folder, range(place, place + 1), pattern=f"{log}__CAM_FRONT__{stamp}.jpg")


def test_nuscenes_key_frames_and_sweeps_form_one_ordered_clip(tmp_path):
    start = 1532402927612460
    save_nuscenes(tmp_path, "n008-2018", [start + 83_000 * place + 3_000 * (place % 2) for place in range(12)])
    save_nuscenes(tmp_path, "n015-2018", [start + 10**9 + 83_000 * place for place in range(4)])
    listing = list_nuscenes(tmp_path, "CAM_FRONT")
    (clip,) = listing.clips["train"]
    levels = clip.read(ImageShape(1, 16, 16))[:, 0, 8, 8]
    assert clip.name == f"n008-2018@{start}" and abs(levels.astype(int) - range(12)).max() <= 1
    assert [other.num_frames for other in listing.clips["test"]] == [4]


def test_a_jump_in_time_begins_a_new_clip_with_a_warning(tmp_path, caplog):
    save_nuscenes(tmp_path, "n008", [83_000 * place + (400_000 if place >= 5 else 0) for place in range(9)])
    with caplog.at_level(logging.WARNING):
        listing = list_nuscenes(tmp_path, "CAM_FRONT")
    assert [clip.num_frames for split in ("train", "test") for clip in listing.clips[split]] == [5, 4]
    assert "n008__CAM_FRONT__815000.jpg: 0.48 s pass before it" in caplog.text


def test_a_nuscenes_file_without_a_stamp_is_named(tmp_path):
    save_frames(tmp_path / "samples/CAM_FRONT", range(1), pattern="odd.jpg")
    with pytest.raises(ValueError, match=r"odd\.jpg: the name does not end in __CAM_FRONT__"):
        list_nuscenes(tmp_path, "CAM_FRONT")
    with pytest.raises(ValueError, match="holds no images in samples/CAM_BACK"):
        list_nuscenes(tmp_path, "CAM_BACK")


def test_a_camera_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="`camera` is only for"):
        VideoData(source="frames", camera="rgb_front")

"""Frame folders: numeric order, gaps, missing frames, mixed sizes, splits."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines.prepared.prepare import prepare
from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.image_file import fit_image
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.storage.folder import Folder
from data_pipelines.video.clips import cut_long_clips, split_last_fifth
from data_pipelines.video.config import VideoData
from data_pipelines.video.frame_folders import FrameClip, list_frame_folders, order_frames
from data_pipelines.video.moving_mnist import open_sequences
from data_pipelines.video.pipeline import VideoPipeline
from tests.video_fixtures import save_frames

SHAPE = ImageShape(3, 8, 8)


def test_frames_are_ordered_by_number_and_not_by_name(tmp_path):
    save_frames(tmp_path / "a", range(8, 13), pattern="img{}.png")
    save_frames(tmp_path / "b", range(3), pattern="img{}.png")
    listing = list_frame_folders(tmp_path)
    frames = listing.clips["train"][0].read(SHAPE)
    assert frames.shape == (5, 3, 8, 8)
    assert frames[:, 0, 4, 4].tolist() == [8, 9, 10, 11, 12]


def test_clips_at_any_depth_are_named_after_their_folder(tmp_path):
    for number in (10, 9):
        save_frames(tmp_path / f"clip{number}/image_02/data", range(2))
    listing = list_frame_folders(tmp_path)
    assert [clip.name for clip in listing.clips["train"]] == ["clip9/image_02/data"]
    assert [clip.name for clip in listing.clips["test"]] == ["clip10/image_02/data"]


def test_folders_named_after_splits_are_the_splits(tmp_path):
    for name, count in (("train", 2), ("val", 1), ("test", 3)):
        for number in range(count):
            save_frames(tmp_path / name / f"c{number}", range(2))
    listing = list_frame_folders(tmp_path)
    assert {split: len(clips) for split, clips in listing.clips.items()} == {"train": 2, "val": 1, "test": 3}


def test_an_even_step_between_numbers_is_no_gap(tmp_path):
    save_frames(tmp_path / "a", range(0, 20, 5))
    assert len(list_frame_folders(tmp_path).clips["train"][0].files) == 4


def test_a_missing_frame_is_named(tmp_path):
    save_frames(tmp_path / "a", range(6))
    (tmp_path / "a/00003.png").unlink()
    with pytest.raises(ValueError, match=r"a/00003\.png: this frame is missing after 00002\.png"):
        list_frame_folders(tmp_path)


@pytest.mark.parametrize(("odd", "neighbour"), [(419, "00390"), (9, "00060"), (421, "00420")])
def test_the_usual_step_is_the_most_frequent_one(tmp_path, odd, neighbour):
    (tmp_path / "a").mkdir()
    for number in [*range(60, 510, 30), odd]:
        (tmp_path / f"a/{number:05d}.png").touch()
    with pytest.raises(ValueError, match=rf"a/{odd:05d}\.png: its number does not fit to {neighbour}.*step is 30"):
        list_frame_folders(tmp_path)


def test_numbers_a_little_off_the_usual_step_are_warned_of(tmp_path, caplog):
    """Steps of 30, but for 29 and 31 around one frame."""
    (tmp_path / "a").mkdir()
    for number in [30, 60, 89, 120, 150]:
        (tmp_path / f"a/{number:05d}.png").touch()
    assert list_frame_folders(tmp_path).clips["train"][0].num_frames == 4
    assert "a: the steps after 2 of 5 frames (00060.png, 00089.png) are not quite 30" in caplog.text


@pytest.mark.parametrize(
    ("numbers", "parts"),
    [
        ([*range(6), *range(9, 12)], ["a@00000", "a@00009"]),
        ([*range(0, 150, 30), *range(300, 420, 30), 500, 530], ["a@00000", "a@00300", "a@00500"]),
        (range(4), ["a"]),
    ],
)
def test_gaps_divide_a_clip_by_choice(tmp_path, caplog, numbers, parts):
    (tmp_path / "a").mkdir()
    for number in numbers:
        (tmp_path / f"a/{number:05d}.png").touch()
    listing = list_frame_folders(tmp_path, divides=True)
    clips = [clip for split in ("train", "test") for clip in listing.clips[split]]
    if len(parts) == 1:
        assert not caplog.messages
        return
    assert [clip.name for clip in clips] == parts
    assert [int(file.stem) for clip in clips for file in clip.files] == sorted(numbers)
    assert f"a: is divided at {len(parts) - 1} gaps into clips" in caplog.text


def test_gaps_by_choice_give_other_rows(tmp_path):
    save_frames(tmp_path / "a", range(6))
    data = VideoData(source="frames", path=tmp_path, num_past=1, num_future=1)
    other = data.model_copy(update={"on_gap": "divide"})
    assert VideoPipeline(data).key_settings == [256, {}, ""] and VideoPipeline(other).key != VideoPipeline(data).key
    with pytest.raises(ValueError, match="`on_gap` is only for source: frames"):
        VideoData(on_gap="divide")


def test_names_that_differ_before_the_number_are_clips(tmp_path, caplog):
    save_frames(tmp_path / "all", range(30, 150, 30), pattern="0001TP_{:06d}.png")
    save_frames(tmp_path / "all", range(30, 120, 30), pattern="0006R0_f{:05d}.png")
    clips = list_frame_folders(tmp_path).clips
    found = [(clip.name, clip.num_frames) for split in ("train", "test") for clip in clips[split]]
    assert found == [("all/0001TP_*", 4), ("all/0006R0_f*", 3)]
    assert "holds frames of 2 names (0001TP_*, 0006R0_f*)" in caplog.text


def test_a_picture_that_stands_again_by_a_link_is_a_frame(tmp_path):
    save_frames(tmp_path / "a", range(3))
    (tmp_path / "a/00003.png").symlink_to(tmp_path / "a/00002.png")
    assert FrameClip("a", tuple(list_frame_folders(tmp_path / "a").clips["train"][0].files)).num_frames == 4


def test_a_frame_for_training_and_testing_is_refused(tmp_path):
    save_frames(tmp_path / "train/a", range(3))
    (tmp_path / "test").mkdir()
    (tmp_path / "test/b").symlink_to(tmp_path / "train/a")
    with pytest.raises(ValueError, match=r"test/b/00000\.png and .*train/a/00000\.png are one file"):
        list_frame_folders(tmp_path)


def test_a_frame_that_vanishes_after_listing_is_named(tmp_path):
    save_frames(tmp_path / "a", range(3))
    clip = FrameClip("a", tuple(sorted((tmp_path / "a").iterdir())))
    (tmp_path / "a/00001.png").unlink()
    with pytest.raises(ValueError, match=r"00001\.png: this frame is missing"):
        clip.read(SHAPE)


def test_a_number_given_twice_and_a_name_without_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"b1\.png: has the number 1 like a1\.png"):
        order_frames([tmp_path / "a1.png", tmp_path / "b1.png"])
    with pytest.raises(ValueError, match=r"first\.png: the name has no number"):
        order_frames([tmp_path / "first.png"])


def test_frames_of_another_size_are_named(tmp_path):
    save_frames(tmp_path / "a", range(3))
    save_frames(tmp_path / "a", range(3, 4), width=24)
    with pytest.raises(ValueError, match=r"00003\.png: is 24x16, but 00000\.png of the same clip is 20x16"):
        FrameClip("a", tuple(sorted((tmp_path / "a").iterdir()))).read(SHAPE)


def test_a_damaged_frame_is_named(tmp_path):
    save_frames(tmp_path / "a", range(2))
    (tmp_path / "a/00001.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"00001\.png: is .* expected PNG"):
        FrameClip("a", tuple(sorted((tmp_path / "a").iterdir()))).read(SHAPE)


def test_frames_are_resized_to_cover_and_cut_in_the_middle():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200
    assert (fit_image(Image.fromarray(wide), SHAPE) == 200).all()
    assert fit_image(Image.fromarray(wide), ImageShape(1, 4, 12)).shape == (1, 4, 12)


def test_a_single_clip_is_split_in_time(tmp_path):
    save_frames(tmp_path / "only", range(10))
    clips = list_frame_folders(tmp_path).clips
    assert [path.name for path in clips["train"][0].files] == [f"{number:05d}.png" for number in range(8)]
    assert [path.name for path in clips["test"][0].files] == ["00008.png", "00009.png"]


@pytest.mark.parametrize(
    ("length", "window", "pieces"),
    [
        (10, 2, [10]), (11, 2, [5, 6]), (30, 2, [10, 10, 10]), (31, 2, [7, 8, 8, 8]),
        (11, 6, [11]), (15, 8, [15]), (21, 8, [10, 11]), (7, 8, [7]),
    ],
)  # fmt: skip
def test_long_clips_are_cut_evenly_without_losing_a_frame(tmp_path, length, window, pieces):
    clip = FrameClip("a", tuple(tmp_path / f"{number}.png" for number in range(length)))
    cut = cut_long_clips([clip], 10, window_frames=window)
    assert [piece.num_frames for piece in cut] == pieces
    assert [file for piece in cut for file in piece.files] == list(clip.files)
    assert len({piece.name for piece in cut}) == len(cut)


def test_the_last_fifth_of_the_clips_is_for_testing(tmp_path):
    clips = [FrameClip(str(number), (tmp_path / "0.png",)) for number in range(11)]
    listing = split_last_fifth(clips)
    assert [clip.name for clip in listing.clips["test"]] == ["9", "10"] and len(listing.clips["train"]) == 9


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        list_frame_folders(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        list_frame_folders(tmp_path / "nowhere")


def test_split_folders_count_in_any_case_and_by_other_names(tmp_path):
    for name in ("Train/a", "Train/b", "valid/c", "TEST/d"):
        save_frames(tmp_path / name, range(2))
    listing = list_frame_folders(tmp_path)
    assert {split: len(clips) for split, clips in listing.clips.items()} == {"train": 2, "val": 1, "test": 1}


def test_clips_for_validation_are_never_trained_on(tmp_path):
    for name in ("train/a", "train/b", "val/c"):
        save_frames(tmp_path / name, range(2))
    with pytest.raises(ValueError, match="in train and val; clips by folders need train and test"):
        list_frame_folders(tmp_path)
    save_frames(tmp_path / "test/d", range(2))
    save_frames(tmp_path / "Testing/d", range(2))
    with pytest.raises(ValueError, match="holds Testing and test, which both mean test; keep one"):
        list_frame_folders(tmp_path)


def test_a_link_to_itself_ends_no_listing(tmp_path):
    save_frames(tmp_path / "a", range(2))
    save_frames(tmp_path / "b", range(2))
    (tmp_path / "loop").symlink_to("loop")
    assert len(list_frame_folders(tmp_path).clips["train"]) == 1


def test_a_clip_of_mixed_sizes_is_left_out_by_choice(tmp_path):
    for name in ("a", "b", "c"):
        save_frames(tmp_path / "raw" / name, range(4))
    save_frames(tmp_path / "raw" / "a", range(3, 4), width=30)
    data = VideoData(source="frames", path=tmp_path / "raw", height=8, width=8, num_past=1, num_future=1)
    with pytest.raises(BadFileError, match="all frames of a clip must have one size"):
        prepare(VideoPipeline(data), Folder(str(tmp_path / "p")))
    manifest = prepare(VideoPipeline(data.model_copy(update={"on_bad_file": "skip"})), Folder(str(tmp_path / "p")))
    assert (manifest.num_rows("train"), manifest.num_rows("test"), len(manifest.left_out["train"])) == (1, 1, 1)


def test_a_clip_that_moves_to_another_split_is_noticed(tmp_path, caplog):
    for name in ("train/a", "train/b", "test/c", "test/d"):
        save_frames(tmp_path / "raw" / name, range(4))
    data = VideoData(source="frames", path=tmp_path / "raw", height=8, width=8, num_past=1, num_future=1)
    prepare(VideoPipeline(data), Folder(str(tmp_path / "p")))
    (tmp_path / "raw/test/c").rename(tmp_path / "raw/train/c")
    prepare(VideoPipeline(data), Folder(str(tmp_path / "p")))
    assert "has changed since it was prepared" in caplog.text


@pytest.mark.parametrize("shape", [(50, 20, 64, 64), (64, 64, 20, 5)])
def test_sequences_with_other_axes_are_refused(tmp_path, shape):
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros(shape, np.uint8))
    with pytest.raises(BadFileError, match=r"has the axes .*; expected uint8 \(time, sequence, height, width\)"):
        open_sequences(tmp_path / "mnist_test_seq.npy")

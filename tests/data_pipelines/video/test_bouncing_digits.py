"""Generated digit clips and the published file of Moving MNIST."""

import gzip
import struct

import numpy as np
import pytest

from data_pipelines.images.sources import DigitsSource
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.video.bouncing_digits import (
    draw_clip,
    generated_clips,
    list_bouncing_digits,
    read_idx_images,
    reflect,
)
from data_pipelines.video.config import BouncingDigits
from data_pipelines.video.moving_mnist import TEST_FILE, list_moving_mnist

SHAPE = ImageShape(1, 32, 40)
SETTINGS = BouncingDigits(num_train_clips=3, num_test_clips=2, num_frames=12, digit_size=8)


def test_clips_follow_from_settings_split_and_index():
    first, second = (list_bouncing_digits(SETTINGS, None).clips["train"][1].read(SHAPE) for _ in range(2))
    other = list_bouncing_digits(SETTINGS, None).clips["train"][2].read(SHAPE)
    test = list_bouncing_digits(SETTINGS, None).clips["test"][1].read(SHAPE)
    assert first.shape == (12, 1, 32, 40) and first.dtype == np.uint8 and first.max() > 100
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other) and not np.array_equal(first, test)


def test_train_and_test_clips_are_made_of_different_digit_images():
    one = SETTINGS.model_copy(update={"num_digits": 1, "num_frames": 2, "speed": 0.01})
    source = DigitsSource()
    images = {
        split: np.concatenate([part.images[:, 0] for part in source.read(split, 0)]) for split in ("train", "test")
    }
    for split in ("train", "test"):
        for clip in generated_clips(one, split, 20, None):
            frame = clip.read(SHAPE)[0, 0]
            rows, columns = np.nonzero(frame)
            found = frame[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert _occurs(found, images[split]), "digit size 8 is the size of the digits, so pixels are their own"
    shared = {image.tobytes() for image in images["train"]} & {image.tobytes() for image in images["test"]}
    assert not shared


def _occurs(found: np.ndarray, images: np.ndarray) -> bool:
    height, width = found.shape
    return any(
        np.array_equal(found, image[top : top + height, left : left + width])
        for image in images
        for top in range(9 - height)
        for left in range(9 - width)
    )


def test_digits_move_evenly_and_stay_on_the_canvas():
    settings = SETTINGS.model_copy(update={"num_frames": 200, "speed": 0.13})
    bright = np.full((1, 8, 8), 255, np.uint8)
    frames = draw_clip(bright, settings, shape=SHAPE, random=np.random.default_rng(3))
    assert (frames.reshape(200, -1) == 255).sum(axis=1).tolist() == [64] * 200
    tops = np.array([np.nonzero(frame[0])[0].min() for frame in frames])
    lefts = np.array([np.nonzero(frame[0])[1].min() for frame in frames])
    assert tops.min() >= 0 and tops.max() <= 24 and lefts.max() <= 32 and lefts.max() > 28
    assert np.abs(np.diff(tops)).max() <= 0.13 * 24 + 1


def test_reflection_is_a_walk_that_turns_at_both_ends():
    place, step = 1.0, 1
    for count in range(30):
        assert reflect(np.array(1.0 + count), np.array(5.0)) == place
        step = -1 if place == 5 else 1 if place == 0 else step
        place += step


def test_digits_overlap_by_their_maximum():
    settings = BouncingDigits(num_frames=2, digit_size=31, num_digits=2)
    digits = np.stack([np.full((8, 8), 90, np.uint8), np.full((8, 8), 200, np.uint8)])
    frames = draw_clip(digits, settings, shape=ImageShape(3, 32, 32), random=np.random.default_rng(0))
    assert frames.max() == 200 and set(np.unique(frames)) <= {0, 90, 200}
    assert np.array_equal(frames[:, 0], frames[:, 2])


def write_idx(path, images: np.ndarray) -> None:
    content = struct.pack(">4I", 2051, *images.shape) + images.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_own_digits_are_read_and_split_without_overlap(tmp_path, name):
    levels = np.arange(10, 130, 10, dtype=np.uint8)
    write_idx(tmp_path / name, np.broadcast_to(levels[:, None, None], (12, 28, 28)).copy())
    seen = {}
    for split, clips in list_bouncing_digits(SETTINGS, tmp_path / name).clips.items():
        seen[split] = {int(level) for clip in clips for level in np.unique(clip.read(SHAPE))} - {0}
    assert seen["test"] <= {110, 120} and seen["train"] <= set(range(10, 110, 10))


def test_files_that_are_no_digits_are_named(tmp_path):
    (tmp_path / "x.gz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x\.gz: cannot be unpacked or read"):
        read_idx_images(tmp_path / "x.gz")
    write_idx(tmp_path / "short", np.zeros((3, 4, 4), np.uint8))
    (tmp_path / "short").write_bytes((tmp_path / "short").read_bytes()[:-1])
    with pytest.raises(ValueError, match="short: is no idx3-ubyte file of images, or is cut off"):
        read_idx_images(tmp_path / "short")


def test_moving_mnist_is_time_first(tmp_path):
    sequences = np.random.default_rng(0).integers(0, 256, (20, 10, 64, 64), dtype=np.uint8)
    np.save(tmp_path / TEST_FILE, sequences)
    for path in (tmp_path, tmp_path / TEST_FILE):
        clips = list_moving_mnist(path, SETTINGS, size=(64, 64)).clips
        assert (len(clips["train"]), len(clips["test"])) == (8, 2)
        assert np.array_equal(clips["test"][1].read(ImageShape(1, 64, 64))[:, 0], sequences[:, 9])


def test_moving_mnist_draws_training_clips_from_training_digits(tmp_path):
    np.save(tmp_path / TEST_FILE, np.zeros((20, 4, 64, 64), np.uint8))
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.full((6, 28, 28), 77, np.uint8))
    listing = list_moving_mnist(tmp_path, SETTINGS, size=(64, 64))
    assert (len(listing.clips["train"]), len(listing.clips["test"])) == (3, 4)
    assert set(np.unique(listing.clips["train"][0].read(ImageShape(1, 64, 64)))) == {0, 77}
    assert "generated" in listing.rule
    with pytest.raises(ValueError, match=r"frames of 64x64, but `height` and `width` are 32 and 64; .* set both"):
        list_moving_mnist(tmp_path, SETTINGS, size=(32, 64))


@pytest.mark.parametrize("array", [np.zeros((20, 64, 64), np.uint8), np.zeros((2, 2, 8, 8), np.float32)])
def test_arrays_of_another_form_are_refused(tmp_path, array):
    np.save(tmp_path / TEST_FILE, array)
    with pytest.raises(ValueError, match=r"mnist_test_seq\.npy: holds .* expected uint8 \(time, sequence"):
        list_moving_mnist(tmp_path, SETTINGS, size=(64, 64))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>", r"is no \.npy file: it is a web page"),
        (b"rubbish and more", r"is no \.npy file: it is .*begins with 'rubbish"),
        (b"", "is empty"),
        (b"\x93NUMPY\x01\x00", "damaged .npy header, or is cut off"),
    ],
)
def test_what_is_no_npy_file_is_named_as_what_it_is(tmp_path, content, words):
    (tmp_path / TEST_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=rf"mnist_test_seq\.npy: .*{words}") as error:
        list_moving_mnist(tmp_path, SETTINGS, size=(64, 64))
    assert "pickle" not in str(error.value)


def test_a_cut_off_npy_file_and_objects_are_named(tmp_path):
    file = tmp_path / TEST_FILE
    np.save(file, np.zeros((4, 3, 8, 8), np.uint8))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"is cut off: it has 895 of at least 896 bytes"):
        list_moving_mnist(tmp_path, SETTINGS, size=(8, 8))
    np.save(file, np.array([[1], "a"], dtype=object))
    with pytest.raises(ValueError, match="holds Python objects; expected uint8"):
        list_moving_mnist(tmp_path, SETTINGS, size=(8, 8))
    file.unlink()
    with pytest.raises(ValueError, match=r"does not exist; give mnist_test_seq\.npy"):
        list_moving_mnist(tmp_path, SETTINGS, size=(8, 8))


@pytest.mark.parametrize("kept", [0.5, "noise"])
def test_a_damaged_gz_file_of_digits_is_named(tmp_path, kept):
    whole = gzip.compress(np.random.default_rng(0).bytes(5000))
    content = whole[: len(whole) // 2] if kept == 0.5 else whole[:10] + b"\xff" * 500 + whole[510:]
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.gz: cannot be unpacked or read"):
        read_idx_images(tmp_path / "x.gz")

"""Folders of images: what is listed, in which order, in which split, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.contract.pipeline import Split
from data_pipelines.images.class_folders import FolderSource, UnlabelledSource
from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.image_shape import ImageShape

SHAPE = ImageShape(1, 4, 4)


def _save(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), value).save(path)


def _save_classes(root: Path, **counts: int) -> None:
    """Image number i of class c is filled with 100 * c + i."""
    for label, (name, count) in enumerate(counts.items()):
        for number in range(count):
            _save(root / name / f"image{number}.png", 100 * label + number)


def _rows(source: FolderSource, split: Split, start_row: int = 0) -> list[tuple[int, int]]:
    """(value, label) of each row."""
    parts = list(source.read(split, start_row))
    return [
        (int(image[0, 0, 0]), int(label))
        for part in parts
        for image, label in zip(part.images, part.labels, strict=True)
    ]


def test_every_tenth_image_in_natural_order_is_a_test_image(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=21, dog=3)
    source = FolderSource(tmp_path, SHAPE)
    assert sorted(_rows(source, "test")) == [(9, 0), (19, 0), (102, 1)]
    expected = [(number, 0) for number in range(21) if number not in (9, 19)] + [(100, 1), (101, 1)]
    assert sorted(_rows(source, "train")) == expected
    assert source.num_rows() == {"train": 21, "test": 3}


def test_given_splits_are_kept(tmp_path: Path) -> None:
    _save_classes(tmp_path / "train", cat=2, dog=1)
    _save_classes(tmp_path / "test", cat=1, dog=1)
    source = FolderSource(tmp_path, SHAPE)
    assert sorted(_rows(source, "train")) == [(0, 0), (1, 0), (100, 1)]
    assert sorted(_rows(source, "test")) == [(0, 0), (100, 1)]


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    _save_classes(tmp_path, **{"class10": 2, "class9": 2, "Class1": 2, "other": 2})
    assert FolderSource(tmp_path, SHAPE).class_names == ("Class1", "class9", "class10", "other")


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    _save_classes(tmp_path, train=2, test=2)
    assert FolderSource(tmp_path, SHAPE).class_names == ("test", "train")


def test_reading_can_start_at_any_row(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=80, dog=60)
    source = FolderSource(tmp_path, SHAPE)
    whole = _rows(source, "train")
    for start_row in (1, 63, 64, 65, len(whole) - 1):
        assert _rows(source, "train", start_row) == whole[start_row:]


def test_rows_mix_the_classes_and_their_order_is_fixed(tmp_path: Path) -> None:
    for root in ("first", "second"):
        _save_classes(tmp_path / root, cat=50, dog=50)
    rows = [_rows(FolderSource(tmp_path / root, SHAPE), "train") for root in ("first", "second")]
    assert rows[0] == rows[1]
    assert 10 < sum(label for _, label in rows[0][:45]) < 35


def test_hidden_files_are_skipped(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=2, dog=2)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"x")
    assert sum(FolderSource(tmp_path, SHAPE).num_rows().values()) == 4


def test_links_are_followed_and_each_real_file_is_used_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "root"
    _save_classes(root, cat=2, dog=2)
    (root / "cat" / "again.png").symlink_to(root / "cat" / "image0.png")
    assert sum(FolderSource(root, SHAPE).num_rows().values()) == 4
    assert "cat: 1 files are the same as another one by a link" in caplog.text
    _save(tmp_path / "secret.png", 1)
    (root / "cat" / "secret.png").symlink_to(tmp_path / "secret.png")
    assert sum(FolderSource(root, SHAPE).num_rows().values()) == 5


def test_a_file_for_training_and_testing_is_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        _save_classes(tmp_path / split, cat=2, dog=2)
    (tmp_path / "test" / "cat" / "leak.png").symlink_to(tmp_path / "train" / "cat" / "image0.png")
    with pytest.raises(ValueError, match=r"leak\.png and .*image0\.png are one file"):
        FolderSource(tmp_path, SHAPE).num_rows()


def test_names_that_are_no_utf_8_are_used(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=2, dog=2)
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    os.rename(tmp_path / "cat", odd)
    os.rename(odd + b"/image0.png", odd + b"/\xff.png")
    source = FolderSource(tmp_path, SHAPE)
    assert source.class_names == (r"caf\xe9", "dog")
    assert sum(len(part.labels) for split in ("train", "test") for part in source.read(split, 0)) == 4
    assert len(source.content_hash()) == 64


def test_a_link_to_nothing_names_the_file(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=2, dog=2)
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "cat" / "absent.png")
    with pytest.raises(ValueError, match=r"gone\.png: is a link to .*absent\.png, which does not exist"):
        for split in ("train", "test"):
            list(FolderSource(tmp_path, SHAPE).read(split, 0))


def test_strangers_are_named(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=2, dog=2)
    stranger = tmp_path / "cat" / "notes.txt"
    stranger.write_text("x")
    with pytest.raises(ValueError, match=r"notes\.txt is not an image file; allowed: \.png"):
        FolderSource(tmp_path, SHAPE).num_rows()
    stranger.rename(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"notes\.txt is not a class folder"):
        FolderSource(tmp_path, SHAPE).num_rows()


def test_too_few_classes_or_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        FolderSource(tmp_path / "absent", SHAPE)
    _save_classes(tmp_path, cat=2)
    with pytest.raises(ValueError, match="has 1 class folders, expected at least 2"):
        FolderSource(tmp_path, SHAPE).num_rows()
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match="dog is a class without images"):
        FolderSource(tmp_path, SHAPE).num_rows()
    _save(tmp_path / "dog" / "only.png", 0)
    with pytest.raises(ValueError, match="dog has 1 image; expected at least 2"):
        FolderSource(tmp_path, SHAPE).num_rows()


def test_splits_must_be_complete_and_agree(tmp_path: Path) -> None:
    _save_classes(tmp_path / "train", cat=2, dog=1)
    with pytest.raises(ValueError, match="holds train; expected exactly the folders train and test"):
        FolderSource(tmp_path, SHAPE).num_rows()
    _save_classes(tmp_path / "test", cat=1, fox=1)
    with pytest.raises(ValueError, match="only one of them has dog, fox"):
        FolderSource(tmp_path, SHAPE).num_rows()


def test_a_damaged_image_stops_reading_and_is_named(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=3, dog=3)
    (tmp_path / "dog" / "image1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"dog/image1\.png: is empty"):
        _rows(FolderSource(tmp_path, SHAPE), "train")


def test_the_hash_sees_content_and_names(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=2, dog=2)
    hashes = [FolderSource(tmp_path, SHAPE).content_hash()]
    _save(tmp_path / "cat" / "image0.png", 77)
    hashes.append(FolderSource(tmp_path, SHAPE).content_hash())
    (tmp_path / "cat" / "image0.png").rename(tmp_path / "cat" / "image00.png")
    hashes.append(FolderSource(tmp_path, SHAPE).content_hash())
    assert len(set(hashes)) == 3
    assert np.all([FolderSource(tmp_path, SHAPE).content_hash() == hashes[2] for _ in range(2)])


def test_one_file_in_two_classes_is_refused(tmp_path: Path) -> None:
    _save_classes(tmp_path, cat=3, dog=3)
    os.link(tmp_path / "cat/image1.png", tmp_path / "dog/copy.png")
    with pytest.raises(ValueError, match=r"cat/image1\.png and .*dog/copy\.png are one file in two classes"):
        FolderSource(tmp_path, SHAPE).num_rows()


def test_what_is_hidden_beside_classes_is_passed_over(tmp_path: Path) -> None:
    _save_classes(tmp_path, train=3, bus=3)
    for name in ("__MACOSX/cat", "train/.thumbnails"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "__MACOSX/cat/._x.png").write_bytes(b"x")
    assert FolderSource(tmp_path, SHAPE).class_names == ("bus", "train")


def test_split_folders_count_in_any_case(tmp_path: Path) -> None:
    _save_classes(tmp_path / "Train", cat=2, dog=1)
    _save_classes(tmp_path / "TEST", cat=1, dog=1)
    assert FolderSource(tmp_path, SHAPE).num_rows() == {"train": 3, "test": 2}


@pytest.mark.parametrize("kind", ["pipe", "loop"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    _save_classes(tmp_path, cat=3, dog=3)
    path = tmp_path / "cat" / "odd.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("odd.png")
    source = FolderSource(tmp_path, SHAPE)
    assert source.content_hash()
    with pytest.raises(BadFileError, match=r"odd\.png: is (no file|a link to odd\.png, which does not exist)"):
        _rows(source, "test")


def test_unlabelled_images_lie_at_any_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(11):
        _save(tmp_path / ("deep/er" if number % 2 else ".") / f"image{number}.png", number)
    (tmp_path / "deep/notes.txt").write_text("none")
    source = UnlabelledSource(tmp_path, SHAPE)
    assert source.class_names == ("image",) and source.num_rows() == {"train": 10, "test": 1}
    rows = _rows(source, "train") + _rows(source, "test")
    assert sorted(rows) == [(number, 0) for number in range(11)]
    assert "1 files are left out (ending .txt: 1)" in caplog.text


def test_unlabelled_images_keep_given_splits(tmp_path: Path) -> None:
    for name, count in {"train": 3, "test": 2}.items():
        for number in range(count):
            _save(tmp_path / name / "any" / f"{number}.png", number)
    source = UnlabelledSource(tmp_path, SHAPE)
    assert sorted(_rows(source, "test")) == [(0, 0), (1, 0)] and source.num_rows()["train"] == 3
    (tmp_path / "test").rename(tmp_path / "val")
    with pytest.raises(ValueError, match="holds train, val; expected train and test, or neither"):
        UnlabelledSource(tmp_path, SHAPE).num_rows()


def test_a_folder_without_any_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ValueError, match=r"holds no images; allowed: \.png"):
        UnlabelledSource(tmp_path, SHAPE).num_rows()

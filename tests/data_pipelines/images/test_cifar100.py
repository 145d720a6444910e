"""The rows of CIFAR-100's pickles, and what is wrong with them by name."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipelines.images.cifar100 import find_cifar100
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline

NAMES = [f"fine{number}".encode() for number in range(100)]


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_bytes(pickle.dumps({key.encode(): value for key, value in content.items()}, 2))


def write_cifar100(root: Path, num_train: int = 20, num_test: int = 5) -> Path:
    """Files of the original layout with random pixels; the coarse labels are all wrong on purpose."""
    folder = root / "cifar-100-python"
    folder.mkdir()
    random = np.random.default_rng(3)
    for name, count in (("train", num_train), ("test", num_test)):
        pixels = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        fine = random.integers(0, 100, count).tolist()
        _dump(folder / name, {"data": pixels, "fine_labels": fine, "coarse_labels": [19] * count, "filenames": []})
    _dump(folder / "meta", {"fine_label_names": NAMES, "coarse_label_names": [b"coarse"] * 20})
    return folder


def test_rows_are_those_of_the_files_with_their_fine_labels(tmp_path):
    folder = write_cifar100(tmp_path)
    for split in ("train", "test"):
        content = pickle.loads((folder / split).read_bytes())
        for start in (0, 3):
            (part,) = find_cifar100(tmp_path).read(split, start)
            np.testing.assert_array_equal(part.images, content[b"data"].reshape(-1, 3, 32, 32)[start:])
            np.testing.assert_array_equal(part.labels, content[b"fine_labels"][start:])
    assert find_cifar100(folder).num_rows() == {"train": 20, "test": 5}
    assert find_cifar100(folder).class_names == tuple(name.decode() for name in NAMES)


def test_the_pipeline_gives_its_shape_classes_and_split(tmp_path):
    write_cifar100(tmp_path)
    pipeline = ImagePipeline(ImageData(source="cifar100", path=tmp_path, validation_ratio=0.1))
    data_spec = pipeline.data_spec()
    assert (data_spec["channels"], data_spec["height"], len(data_spec["class_names"])) == (3, 32, 100)
    assert pipeline.num_raw_rows() == {"train": 18, "val": 2, "test": 5}
    assert pipeline.nominal_rows() == {"train": 45_000, "val": 5_000, "test": 10_000}
    assert pipeline.key.startswith("cifar100-")


def test_without_the_data_shape_and_classes_are_known():
    data_spec = ImagePipeline(ImageData(source="cifar100")).data_spec()
    assert len(data_spec["class_names"]) == len(set(data_spec["class_names"])) == 100 and data_spec["width"] == 32
    assert data_spec["class_names"][0] == "apple" and data_spec["class_names"][99] == "worm"


def test_missing_files_are_named(tmp_path):
    (write_cifar100(tmp_path) / "meta").unlink()
    with pytest.raises(ValueError, match=r"no CIFAR-100: expected cifar-100-python/ with the files train, test and m"):
        find_cifar100(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fine_labels": [100] * 20}, r"train: row 0 has the label 100, expected 0\.\.99"),
        ({"fine_labels": [0] * 19}, "`labels` is 19 labels for 20 images"),
        ({"data": np.zeros((20, 3071), np.uint8)}, r"expected uint8 \(rows, 3072\)"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, changes, message):
    path = write_cifar100(tmp_path) / "train"
    content = {key.decode(): value for key, value in pickle.loads(path.read_bytes()).items()}
    _dump(path, {**content, **changes})
    with pytest.raises(ValueError, match=message):
        find_cifar100(tmp_path).num_rows()


def test_a_wrong_number_of_names_is_refused(tmp_path):
    _dump(write_cifar100(tmp_path) / "meta", {"fine_label_names": NAMES[:99]})
    with pytest.raises(ValueError, match="names 99 classes, expected 100"):
        _ = find_cifar100(tmp_path).class_names


def test_the_hash_sees_every_file(tmp_path):
    folder = write_cifar100(tmp_path)
    hashes = {find_cifar100(folder).content_hash()}
    for name in ("train", "test", "meta"):
        (folder / name).write_bytes((folder / name).read_bytes() + b".")
        hashes.add(find_cifar100(folder).content_hash())
    assert len(hashes) == 4

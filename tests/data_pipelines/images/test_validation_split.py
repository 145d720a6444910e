"""The split `val`: the last training rows, whatever the files' lengths."""

from typing import Any

import numpy as np
import pytest

from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.images.sources import DigitsSource, LabelledImages, WithValidation, count_validation
from data_pipelines.prepared.manifest import load_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder


class Parts:
    """Twelve training rows in parts of 5, 4 and 3, and two test rows; a row's label is its number."""

    class_names = ("a",)
    lengths = (5, 4, 3)

    def num_rows(self) -> dict[Any, int]:
        return {"train": 12, "test": 2}

    def read(self, split: str, start_row: int) -> Any:
        labels = np.arange(12) if split == "train" else np.arange(100, 102)
        first = 0
        for length in self.lengths if split == "train" else (2,):
            part = labels[first : first + length][max(0, start_row - first) :]
            if len(part):
                yield LabelledImages(part.reshape(-1, 1, 1, 1), part)
            first += length

    def files(self) -> list[Any]:
        return []

    def split_files(self) -> dict[Any, Any]:
        return {}

    def content_hash(self) -> str:
        return "hash"


def labels_of(source: WithValidation, split: Any, start_row: int = 0) -> list[int]:
    return [int(label) for part in source.read(split, start_row) for label in part.labels]


@pytest.mark.parametrize(("ratio", "num_val"), [(0.1, 1), (0.25, 3), (0.5, 6), (0.9, 10)])
def test_the_last_rows_are_for_validation_and_none_is_repeated(ratio, num_val):
    source = WithValidation(Parts(), ratio)
    assert source.num_rows() == {"train": 12 - num_val, "val": num_val, "test": 2}
    assert labels_of(source, "train") == list(range(12 - num_val))
    assert labels_of(source, "val") == list(range(12 - num_val, 12))
    assert labels_of(source, "test") == [100, 101]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_reading_can_start_at_any_row_of_a_split(split):
    source = WithValidation(Parts(), 0.5)
    whole = labels_of(source, split)
    for start in range(len(whole)):
        assert labels_of(source, split, start) == whole[start:]


def test_cifar_split_sizes_are_exact_despite_float_ratios():
    assert count_validation(50_000, 0.1) == 5_000
    assert count_validation(100, 0.29) == 29
    assert count_validation(19, 0.1) == 1


@pytest.mark.parametrize("ratio", [0.01, 0.0001])
def test_a_share_that_leaves_no_row_is_refused(ratio):
    with pytest.raises(ValueError, match=r"validation_ratio: .* of 12 training rows leaves one of the splits"):
        WithValidation(Parts(), ratio).num_rows()


def test_the_digits_are_split_and_the_manifest_says_the_rule(tmp_path):
    plain, split = ImagePipeline(ImageData()), ImagePipeline(ImageData(validation_ratio=0.1))
    rows = plain.num_raw_rows()["train"]
    assert split.num_raw_rows() == {"train": rows - rows // 10, "val": rows // 10, "test": 1797 - rows}
    assert plain.key != split.key != ImagePipeline(ImageData(validation_ratio=0.2)).key
    prepare(split, Folder(str(tmp_path / "split")))
    manifest = load_manifest(Folder(str(tmp_path / "split")), split)
    assert manifest.data_spec["validation"].startswith("the last 10 % of the training rows")
    assert "validation" not in plain.data_spec()
    assert split.source_hash() == DigitsSource().content_hash()


def test_a_folder_prepared_with_another_split_is_refused_by_name(tmp_path):
    from tests.data_pipelines.images.test_cifar100 import write_cifar100

    write_cifar100(tmp_path)
    whole = ImageData(source="cifar100", path=tmp_path)
    prepare(ImagePipeline(whole), Folder(str(tmp_path / "prepared")))
    again = ImageData(source="cifar100", prepared=tmp_path / "prepared", validation_ratio=0.1)
    with pytest.raises(ValueError, match=r"prepared with the validation split: None, but `validation_ratio` asks for"):
        _ = ImagePipeline(again).key
    assert ImagePipeline(ImageData(source="cifar100", prepared=tmp_path / "prepared")).key == ImagePipeline(whole).key

"""Both forms of CIFAR-10 give the same rows, and whatever is wrong with them is named."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipelines.contract.pipeline import Split
from data_pipelines.images.cifar10 import BinaryCifar10, PickledCifar10, find_cifar10
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.images.sources import LabelledImages

NAMES = [f"class{number}" for number in range(10)]
LENGTHS = {
    "data_batch_1": 3,
    "data_batch_2": 5,
    "data_batch_3": 1,
    "data_batch_4": 4,
    "data_batch_5": 2,
    "test_batch": 6,
}
NUM_TRAIN = 15


def _batches() -> dict[str, LabelledImages]:
    random = np.random.default_rng(7)
    return {
        name: LabelledImages(
            random.integers(0, 256, (length, 3, 32, 32), dtype=np.uint8), random.integers(0, 10, length, dtype=np.int64)
        )
        for name, length in LENGTHS.items()
    }


def _dump(path: Path, content: dict[str, Any]) -> None:
    """As Python 2 wrote it: protocol 2, and keys that are bytes."""
    path.write_bytes(pickle.dumps({key.encode(): value for key, value in content.items()}, 2))


def _write_pickles(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, batch in _batches().items():
        _dump(folder / name, {"data": batch.images.reshape(-1, 3072), "labels": batch.labels.tolist()})
    _dump(folder / "batches.meta", {"label_names": [name.encode() for name in NAMES]})
    return folder


def _write_records(root: Path) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    for name, batch in _batches().items():
        records = np.concatenate([batch.labels[:, None].astype(np.uint8), batch.images.reshape(-1, 3072)], axis=1)
        records.tofile(folder / f"{name}.bin")
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder


def _rows(path: Path, split: Split, start_row: int = 0) -> LabelledImages:
    parts = list(find_cifar10(path).read(split, start_row))
    return LabelledImages(
        np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts])
    )


@pytest.mark.parametrize("write", [_write_pickles, _write_records])
def test_rows_are_those_of_the_files_in_order(tmp_path: Path, write: Any) -> None:
    write(tmp_path)
    batches = _batches()
    names_of: dict[Split, list[str]] = {"train": list(LENGTHS)[:5], "test": ["test_batch"]}
    for split, names in names_of.items():
        rows = _rows(tmp_path, split)
        np.testing.assert_array_equal(rows.images, np.concatenate([batches[name].images for name in names]))
        np.testing.assert_array_equal(rows.labels, np.concatenate([batches[name].labels for name in names]))
        assert find_cifar10(tmp_path).num_rows()[split] == len(rows.labels)
    assert list(find_cifar10(tmp_path).class_names) == NAMES


@pytest.mark.parametrize("write", [_write_pickles, _write_records])
def test_reading_can_start_at_any_row(tmp_path: Path, write: Any) -> None:
    write(tmp_path)
    whole = _rows(tmp_path, "train")
    for start_row in range(NUM_TRAIN):
        np.testing.assert_array_equal(_rows(tmp_path, "train", start_row).images, whole.images[start_row:])


def test_the_form_is_found_in_the_folder_or_its_parent(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no CIFAR-10: expected cifar-10-batches-py/data_batch_1"):
        find_cifar10(tmp_path)
    records = _write_records(tmp_path)
    assert isinstance(find_cifar10(records), BinaryCifar10)
    assert isinstance(find_cifar10(tmp_path), BinaryCifar10)
    pickles = _write_pickles(tmp_path)
    assert isinstance(find_cifar10(pickles), PickledCifar10)
    assert isinstance(find_cifar10(tmp_path), PickledCifar10)


@pytest.mark.parametrize(("write", "name"), [(_write_pickles, "data_batch_4"), (_write_records, "test_batch.bin")])
def test_a_missing_file_is_named(tmp_path: Path, write: Any, name: str) -> None:
    (write(tmp_path) / name).unlink()
    with pytest.raises(ValueError, match=f"lacks {name}; unpack"):
        find_cifar10(tmp_path)


def test_a_cut_off_record_file_is_named_with_its_length(tmp_path: Path) -> None:
    path = _write_records(tmp_path) / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"data_batch_2\.bin: has 15364 bytes, expected a multiple of 3073"):
        find_cifar10(tmp_path).num_rows()


def test_a_wrong_label_byte_names_file_and_row(tmp_path: Path) -> None:
    path = _write_records(tmp_path) / "data_batch_2.bin"
    content = bytearray(path.read_bytes())
    content[3 * 3073] = 10
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_2\.bin: row 3 has the label 10, expected 0\.\.9"):
        _rows(tmp_path, "train")


PIXELS = np.zeros((3, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": PIXELS}, "lacks labels; it has data"),
        ({"labels": [0, 0, 0], "fine": 1}, "lacks data; it has fine, labels"),
        ({"data": PIXELS[:, 1:], "labels": [0, 0, 0]}, r"`data` is uint8 \(3, 3071\), expected uint8 \(rows, 3072\)"),
        ({"data": PIXELS.astype(np.int32), "labels": [0, 0, 0]}, r"`data` is int32 \(3, 3072\)"),
        ({"data": "pixels", "labels": [0]}, "`data` is str"),
        ({"data": PIXELS, "labels": [0, 0]}, "`labels` is 2 labels for 3 images"),
        ({"data": PIXELS, "labels": 5}, "`labels` is int for 3 images"),
        ({"data": PIXELS, "labels": [0, 10, 0]}, r"row 1 has the label 10, expected 0\.\.9"),
        ({"data": PIXELS, "labels": [0, 0, -1]}, "row 2 has the label -1"),
        ({"data": PIXELS, "labels": [0, "cat", 0]}, "row 1 has the label 'cat', expected a whole number"),
    ],
)
def test_a_wrong_batch_says_what_is_wrong(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    _dump(_write_pickles(tmp_path) / "data_batch_3", content)
    with pytest.raises(ValueError, match=f"data_batch_3: .*{message}|data_batch_3: {message}"):
        find_cifar10(tmp_path).num_rows()


def test_a_wrong_number_of_class_names_is_refused(tmp_path: Path) -> None:
    _dump(_write_pickles(tmp_path) / "batches.meta", {"label_names": [b"cat", b"dog"]})
    with pytest.raises(ValueError, match=r"batches\.meta: names 2 classes, expected 10"):
        _ = find_cifar10(tmp_path).class_names


def test_the_hash_sees_a_changed_pixel(tmp_path: Path) -> None:
    path = _write_records(tmp_path) / "test_batch.bin"
    before = find_cifar10(tmp_path).content_hash()
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert find_cifar10(tmp_path).content_hash() != before


@pytest.mark.skipif("QUINTET_CIFAR10" not in os.environ, reason="QUINTET_CIFAR10 names no real CIFAR-10")
def test_a_real_cifar10_can_be_read() -> None:
    pipeline = ImagePipeline(ImageData(source="cifar10", path=Path(os.environ["QUINTET_CIFAR10"])))
    assert list(pipeline.data_spec()["class_names"])[:2] == ["airplane", "automobile"]
    for split, num_rows in pipeline.num_raw_rows().items():
        table = pa.concat_tables(pipeline.read_raw(split, 0))
        assert table.num_rows == num_rows > 0
        assert set(table["label"].to_pylist()) == set(range(10))


def test_an_empty_batch_and_a_link_between_batches_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    folder = _write_records(tmp_path / "a")
    (folder / "data_batch_3.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data_batch_3\.bin: holds no images"):
        find_cifar10(folder).num_rows()
    folder = _write_records(tmp_path / "b")
    (folder / "test_batch.bin").unlink()
    (folder / "test_batch.bin").symlink_to("data_batch_5.bin")
    with pytest.raises(ValueError, match=r"data_batch_5\.bin and .*test_batch\.bin are one file"):
        find_cifar10(folder).num_rows()

"""The image pipeline: keys, data_spec, batches, and flips."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from data_pipelines.contract.row_draws import torch_draws
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImageBatch, ImagePipeline
from data_pipelines.prepared.manifest import load_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder

DIGITS = ImagePipeline(ImageData())


def _save_folder(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (12, 9), (number, 0, 0)).save(root / name / f"{number}.png")


def _naive_collate(table: pa.Table) -> ImageBatch:
    images = [np.frombuffer(row["image"], np.uint8).reshape(DIGITS.shape).copy() for row in table.to_pylist()]
    labels = [row["label"] for row in table.to_pylist()]
    return {"image": torch.from_numpy(np.stack(images)), "label": torch.tensor(labels, dtype=torch.int64)}


def _tables() -> dict[str, pa.Table]:
    whole = DIGITS.make_fake_rows(40, seed=5)
    return {
        "whole": whole,
        "slice": whole.slice(7, 20),
        "chunks": pa.concat_tables([whole[30:], whole[:3], whole[5:9]]),
        "slice of chunks": pa.concat_tables([whole[30:], whole[:3], whole[5:9]]).slice(8, 6),
    }


@pytest.mark.parametrize("name", _tables())
def test_collate_equals_a_loop_over_rows(name: str) -> None:
    table = _tables()[name]
    batch, expected = DIGITS.collate(table), _naive_collate(table)
    assert batch["image"].shape == (table.num_rows, 1, 8, 8)
    for key in ("image", "label"):
        assert batch[key].dtype == expected[key].dtype
        assert torch.equal(batch[key], expected[key])


def test_collate_takes_an_empty_table() -> None:
    batch = DIGITS.collate(DIGITS.make_fake_rows(4, seed=0)[:0])
    assert (batch["image"].shape, batch["label"].shape) == ((0, 1, 8, 8), (0,))


def test_without_the_setting_nothing_is_flipped() -> None:
    batch = DIGITS.collate(DIGITS.make_fake_rows(8, seed=0))
    changed = DIGITS.augment(batch, draws=torch_draws(8, 0))
    assert torch.equal(changed["image"], batch["image"])


def test_half_of_the_images_are_flipped_horizontally() -> None:
    pipeline = ImagePipeline(ImageData(horizontal_flip=True))
    batch = pipeline.collate(pipeline.make_fake_rows(4000, seed=0))
    before = batch["image"].clone()
    changed = pipeline.augment(batch, draws=torch_draws(4000, 0))
    is_same = (changed["image"] == before).flatten(1).all(1)
    is_flipped = (changed["image"] == before[..., range(7, -1, -1)]).flatten(1).all(1)
    assert (is_same ^ is_flipped).all()
    assert 0.46 < is_flipped.float().mean() < 0.54
    assert torch.equal(batch["image"], before)
    assert torch.equal(changed["label"], batch["label"])


def test_flips_follow_the_draws() -> None:
    pipeline = ImagePipeline(ImageData(horizontal_flip=True))
    batch = pipeline.collate(pipeline.make_fake_rows(64, seed=0))
    images = [pipeline.augment(batch, draws=torch_draws(64, seed))["image"] for seed in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_synthetic_rows_have_the_schema_and_follow_the_seed() -> None:
    tables = [DIGITS.make_fake_rows(20, seed) for seed in (1, 1, 2)]
    assert tables[0].schema.equals(DIGITS.schema)
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])
    DIGITS.check(tables[0], data_spec=DIGITS.data_spec(), file=Path("made-up"), first_row=0)


def test_check_names_file_and_row() -> None:
    table = DIGITS.make_fake_rows(3, 0).set_column(1, DIGITS.schema.field("label"), pa.array([0, 1, -1]))
    with pytest.raises(ValueError, match=r"shard: row 102 has the label -1, expected 0\.\.9"):
        DIGITS.check(table, data_spec=DIGITS.data_spec(), file=Path("shard"), first_row=100)


def test_key_changes_with_the_rows_and_only_with_them(tmp_path: Path) -> None:
    def key(**settings: object) -> str:
        return ImagePipeline(
            ImageData.model_validate({"source": "folder", "path": tmp_path, "size": 8, **settings})
        ).key

    assert key() == key(horizontal_flip=True) == key(prepared=tmp_path / "p") == key(path=tmp_path / "x" / "..")
    assert len({key(), key(size=9), key(channels=1), key(path=tmp_path / "other")}) == 4
    assert key().startswith("folder-3x8x8-")
    assert DIGITS.key == ImagePipeline(ImageData(horizontal_flip=True)).key


def test_the_data_spec_names_shape_and_classes(tmp_path: Path) -> None:
    _save_folder(tmp_path)
    pipeline = ImagePipeline(ImageData(source="folder", path=tmp_path, size=8, channels=1))
    assert pipeline.data_spec() == {"channels": 1, "height": 8, "width": 8, "class_names": ["cat", "dog"]}
    assert DIGITS.data_spec() == {"channels": 1, "height": 8, "width": 8, "class_names": list("0123456789")}


def test_a_prepared_folder_serves_without_the_raw_data(tmp_path: Path) -> None:
    _save_folder(tmp_path / "raw")
    settings = {"source": "folder", "path": tmp_path / "raw", "size": 8, "prepared": tmp_path / "prepared"}
    before = ImagePipeline(ImageData.model_validate(settings))
    manifest = prepare(before, Folder(str(tmp_path / "prepared")))
    rows = open_split(Folder(str(tmp_path / "prepared")), manifest, "train").load(0, before)
    (tmp_path / "raw").rename(tmp_path / "moved")
    for without in ({}, {"path": None}):
        after = ImagePipeline(ImageData.model_validate({**settings, **without}))
        assert str(after.prepared) == str(tmp_path / "prepared")
        assert after.data_spec() == manifest.data_spec
        assert (
            prepare(after, Folder(str(tmp_path / "prepared")))
            == load_manifest(Folder(str(tmp_path / "prepared")), after)
            == manifest
        )
        assert open_split(Folder(str(tmp_path / "prepared")), manifest, "train").load(0, after).equals(rows)


def test_a_prepared_folder_of_another_shape_is_refused(tmp_path: Path) -> None:
    _save_folder(tmp_path / "raw")
    prepare(
        ImagePipeline(ImageData(source="folder", path=tmp_path / "raw", size=8)), Folder(str(tmp_path / "prepared"))
    )
    other = ImagePipeline(ImageData(source="folder", size=16, prepared=str(tmp_path / "prepared")))
    with pytest.raises(ValueError, match=r"holds the data of folder-3x8x8-\w+, but .* ask for folder-3x16x16"):
        load_manifest(Folder(str(tmp_path / "prepared")), other)


@pytest.mark.parametrize("source", ["cifar10", "folder"])
def test_missing_raw_data_are_explained(tmp_path: Path, source: str) -> None:
    size = {"size": 8} if source == "folder" else {}
    with pytest.raises(ValueError, match=f"source: {source} needs `workload.data.path`"):
        ImagePipeline(ImageData.model_validate({"source": source, **size})).num_raw_rows()
    with pytest.raises(ValueError, match="absent"):
        ImagePipeline(ImageData.model_validate({"source": source, "path": tmp_path / "absent", **size})).num_raw_rows()


def test_the_data_spec_of_cifar10_needs_no_data(tmp_path: Path) -> None:
    """They are those that the archive's own list of names gives."""
    known = ImagePipeline(ImageData(source="cifar10")).data_spec()
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert known == {"channels": 3, "height": 32, "width": 32, "class_names": names}
    assert ImagePipeline(ImageData(source="cifar10")).nominal_rows() == {"train": 50_000, "test": 10_000}


def test_pipeline_pickles_small_and_equal(tmp_path: Path) -> None:
    _save_folder(tmp_path)
    pipeline = ImagePipeline(ImageData(source="folder", path=tmp_path, size=8))
    pipeline.num_raw_rows()
    content = pickle.dumps(pipeline)
    copy = pickle.loads(content)
    assert len(content) < 2000
    assert (copy.key, copy.schema, copy.data_spec()) == (pipeline.key, pipeline.schema, pipeline.data_spec())


def test_importing_the_pipelines_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys, data_pipelines.images.pipeline, data_pipelines.prepared.prepare;"
        "import data_pipelines.prepared.ray_dataset; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'ray', 'sklearn', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

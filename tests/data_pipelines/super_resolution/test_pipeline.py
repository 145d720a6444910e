"""The pipeline of whole images: keys, data_spec, rows, batches, patches at one of several scales."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_pipelines.contract.pipeline import SPLITS
from data_pipelines.contract.row_draws import numpy_draws
from data_pipelines.prepared.manifest import load_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder
from data_pipelines.super_resolution.batch import unpack, unpack_names
from data_pipelines.super_resolution.config import SuperResolutionData
from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from tests.image_fixtures import save_noise


def build(**settings: object) -> SuperResolutionPipeline:
    return SuperResolutionPipeline(SuperResolutionData.model_validate({"lr_patch_size": 8, **settings}))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Twenty images of as many sizes, all of them in one class."""
    for number in range(20):
        save_noise(tmp_path / f"raw/Images/a/a{number:02d}.png", 36 + number, 52 - number, seed=number)
    return tmp_path / "raw"


def test_rows_hold_each_image_once_and_an_lr_image_per_scale(raw, tmp_path):
    pipeline = build(source="uc_merced", path=raw, scales=(4, 3))
    manifest = prepare(pipeline, Folder(str(tmp_path / "prepared")), rows_per_shard=4)
    assert {split: manifest.num_rows(split) for split in SPLITS} == {"train": 9, "val": 1, "test": 10}
    assert len(manifest.splits["train"]) == 3
    assert manifest.data_spec["split_rule"].startswith("each class in natural order")
    split = open_split(Folder(str(tmp_path / "prepared")), manifest, "train")
    rows = [row for index in range(3) for row in split.load(index, pipeline).to_pylist()]
    assert [row["name"] for row in rows] == [f"Images/a/a{number:02d}.png" for number in range(2, 20, 2)]
    for row, number in zip(rows, range(2, 20, 2), strict=True):
        height, width = 36 + number, 52 - number
        assert (row["height"], row["width"]) == (height, width)
        assert [len(row[name]) for name in ("hr", "lr_x4", "lr_x3")] == [
            3 * height * width,
            3 * (height // 4) * (width // 4),
            3 * (height // 3) * (width // 3),
        ]


def test_a_batch_gives_back_the_images(raw, tmp_path):
    pipeline = build(source="uc_merced", path=raw)
    table = pa.concat_tables(list(pipeline.read_raw("train", 3)))
    batch = pipeline.collate(table)
    for pair, row in zip(unpack(batch, 4), table.to_pylist(), strict=True):
        hr = np.frombuffer(row["hr"], np.uint8).reshape(row["height"], row["width"], 3)
        height, width = (side // 4 * 4 for side in hr.shape[:2])
        assert np.array_equal(pair.hr.permute(1, 2, 0).numpy(), hr[:height, :width])
        assert pair.lr.shape == (3, height // 4, width // 4)


def test_a_batch_of_no_rows_is_empty():
    pipeline = build()
    batch = pipeline.collate(pipeline.make_fake_rows(2, seed=0).slice(0, 0))
    assert {name: len(tensor) for name, tensor in batch.items()} == dict.fromkeys(
        ("size", "name", "name_length", "hr", "lr_x4"), 0
    )
    assert unpack_names(batch) == []


def test_a_batch_names_its_images():
    pipeline = build()
    names = ["forest/forest00.png", "", "Stra\u00dfe/\u6a39.png"]
    table = pipeline.make_fake_rows(3, seed=0)
    table = table.set_column(0, pipeline.schema.field("name"), pa.array(names))
    assert unpack_names(pipeline.collate(table)) == names
    parts = pa.concat_tables([table.slice(1), table.slice(0, 1)])
    assert unpack_names(pipeline.collate(parts)) == [*names[1:], names[0]]


def test_each_step_takes_one_of_the_scales_and_all_of_them_come():
    pipeline = build(scales=(2, 3, 4))
    table = pipeline.make_fake_rows(2, seed=0)
    counts: dict[int, int] = {2: 0, 3: 0, 4: 0}
    for seed in range(90):
        patches = pipeline.collate_train(table, numpy_draws(2, seed))
        scale = patches["hr"].shape[-1] // 8
        assert patches["lr"].shape == (2, 3, 8, 8) and patches["hr"].shape == (2, 3, 8 * scale, 8 * scale)
        counts[scale] += 1
    assert min(counts.values()) > 15


def test_check_names_file_column_and_row():
    pipeline = build()
    table = pipeline.make_fake_rows(3, seed=0)
    pipeline.check(table, data_spec={}, file=Path("shard"), first_row=0)
    wrong = table.set_column(1, pipeline.schema.field("height"), pa.array([34, 33, 34], pa.int32()))
    with pytest.raises(ValueError, match=r"shard: row 100 has \d+ bytes in hr, expected \d+"):
        pipeline.check(wrong, data_spec={}, file=Path("shard"), first_row=100)


def test_a_broken_file_stops_the_preparation_by_its_name(raw, tmp_path):
    (raw / "Images/a/a06.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"a06\.png: is of an unknown kind"):
        prepare(build(source="uc_merced", path=raw), Folder(str(tmp_path / "prepared")))


def test_an_unmeasurable_test_image_is_named_before_training(raw, tmp_path):
    save_noise(raw / "Images/a/a01.png", 19, 18)
    pipeline = build(source="uc_merced", path=raw)
    with pytest.raises(ValueError, match=r"a01\.png: 18x19 pixels are too few to be measured at scale 4; .* need 19"):
        prepare(pipeline, Folder(str(tmp_path / "prepared")))
    save_noise(raw / "Images/a/a01.png", 19, 19)
    prepare(pipeline, Folder(str(tmp_path / "prepared")))


def test_small_training_images_are_named_and_others_are_not(raw, tmp_path, caplog):
    prepare(build(source="uc_merced", path=raw, lr_patch_size=10), Folder(str(tmp_path / "prepared")))
    named = {record.getMessage().split(": ")[0][-7:] for record in caplog.records}
    assert named == {"a02.png", "a14.png", "a16.png", "a18.png"}


def test_key_changes_with_the_rows_and_only_with_them(tmp_path):
    def key(**settings: object) -> str:
        return build(**{"source": "folder", "path": tmp_path, **settings}).key

    assert key() == key(lr_patch_size=16) == key(is_augmented=False) == key(path=tmp_path / "x" / "..")
    assert len({key(), key(scales=(2,)), key(scales=(4, 2)), key(source="uc_merced"), key(path=tmp_path / "o")}) == 5
    assert build().key.startswith("sr-photographs-x4-")


def test_a_prepared_folder_serves_without_the_raw_data(raw, tmp_path):
    settings = {"source": "uc_merced", "path": raw, "prepared": tmp_path / "prepared"}
    before = build(**settings)
    manifest = prepare(before, Folder(str(tmp_path / "prepared")))
    raw.rename(tmp_path / "moved")
    for without in ({}, {"path": None}):
        after = build(**{**settings, **without})
        assert after.data_spec() == manifest.data_spec
        assert (
            prepare(after, Folder(str(tmp_path / "prepared")))
            == load_manifest(Folder(str(tmp_path / "prepared")), after)
            == manifest
        )
    with pytest.raises(ValueError, match=r"but these settings ask for sr-uc_merced-x2-\(any\)"):
        load_manifest(Folder(str(tmp_path / "prepared")), build(**{**settings, "path": None, "scales": (2,)}))


def test_the_published_sets_are_counted_without_the_data():
    assert build(source="uc_merced").nominal_rows() == {"train": 945, "val": 105, "test": 1050}
    assert build(source="div2k").nominal_rows()["train"] == 800
    with pytest.raises(ValueError, match=r"needs `workload\.data\.path`"):
        _ = build(source="div2k").key


def test_the_source_hash_changes_with_any_file(raw):
    pipeline = build(source="uc_merced", path=raw)
    before = pipeline.source_hash()
    assert build(source="uc_merced", path=raw).source_hash() == before
    save_noise(raw / "Images/a/a19.png", 55, 33, seed=99)
    assert pipeline.source_hash() != before


def test_pipeline_pickles_small_and_equal(raw):
    pipeline = build(source="uc_merced", path=raw)
    pipeline.num_raw_rows()
    content = pickle.dumps(pipeline)
    assert len(content) < 2000 and pickle.loads(content).key == pipeline.key


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": []}, "at least 1"),
        ({"scales": [4, 4]}, "name each scale once"),
        ({"scales": [5]}, "2, 3, 4 or 8"),
        ({"lr_patch_size": 7}, "greater than or equal to 8"),
    ],
)
def test_wrong_settings_are_explained(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_the_pipeline_imports_no_torch_ray_or_image_library():
    code = (
        "import sys, data_pipelines.super_resolution.pipeline; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'ray', 'skimage', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

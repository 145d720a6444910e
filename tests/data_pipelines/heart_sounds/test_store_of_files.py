"""The store of recordings on disk, and choices from it: moved, lost, damaged, and after changes of the raw data."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from data_pipelines.contract.pipeline import Manifest
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.tasks import TaskName
from data_pipelines.prepared.folder_making import Making, prepare_rows
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder
from tests.data_pipelines.heart_sounds.heart_files import write_circor, write_wav

OUTCOME: TaskName = "circor_outcome"
SMALL = {"sample_rate": 1000, "num_samples": 128}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    patients = {
        str(100 + n): {"Murmur": "Absent", "Outcome": ["Normal", "Abnormal"][n % 2], "Additional ID": "nan"}
        for n in range(12)
    }
    write_circor(tmp_path / "raw", patients, locations=("AV",))
    return tmp_path / "raw"


def task(raw: Path | None = None, name: TaskName = OUTCOME, **changes: Any) -> HeartPipeline:
    return HeartPipeline(HeartData(**{**SMALL, "circor": raw, **changes}), name)


def prepared(pipeline: HeartPipeline, folder: Path) -> Manifest:
    return prepare(pipeline, Folder(str(folder)), rows_per_shard=4)


def rows_in(pipeline: HeartPipeline, folder: Path) -> int:
    split = open_split(Folder(str(folder)), prepared(pipeline, folder), "train")
    return split.load(0, pipeline).num_rows


def stores(place: Path) -> list[Path]:
    return sorted(place.glob("heart-recordings-*"))


def test_a_moved_choice_finds_its_store_without_raw_data(raw: Path, tmp_path: Path) -> None:
    prepared(task(raw), tmp_path / "data" / "choice")
    shutil.rmtree(raw)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere" / "choice"
    without = task(prepared=folder)
    assert rows_in(without, folder) > 0 and without.data_spec()["databases"] == ["circor"]


def test_a_choice_alone_names_the_store_that_it_needs(raw: Path, tmp_path: Path) -> None:
    manifest = prepared(task(raw), tmp_path / "data" / "choice")
    (store,) = stores(tmp_path / "data")
    shutil.move(store, tmp_path / "kept")
    words = f"are chosen from those in {store}, which holds no prepared data; copy the folder {store.name} there"
    with pytest.raises(ValueError, match=words):
        open_split(Folder(str(tmp_path / "data" / "choice")), manifest, "train")
    raw.rename(tmp_path / "away")
    with pytest.raises(ValueError, match=words):
        prepared(task(prepared=tmp_path / "data" / "choice"), tmp_path / "data" / "choice")
    (tmp_path / "away").rename(raw)
    assert prepared(task(raw), tmp_path / "data" / "choice") == manifest and store.exists()


def test_rows_of_an_earlier_version_are_used_as_they_are(raw: Path, tmp_path: Path) -> None:
    making = Making(None, 4, 1, 1, None)
    before = prepare_rows(task(raw), Folder(str(tmp_path / "data" / "own")), making)
    assert not before.stores and prepared(task(raw), tmp_path / "data" / "own") == before
    (tmp_path / "data" / "own" / "train-00000.parquet").unlink()
    assert prepared(task(raw), tmp_path / "data" / "own") == before and not stores(tmp_path / "data")
    num_rows = rows_in(task(raw), tmp_path / "data" / "own")
    shutil.rmtree(raw)
    assert rows_in(task(prepared=tmp_path / "data" / "own"), tmp_path / "data" / "own") == num_rows


def test_two_processes_store_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    contents = []
    for number in (1, 2):
        folder = Folder(str(tmp_path / str(number) / "choice"))
        prepare(task(raw), folder, rows_per_shard=4, num_processes=number)
        files = sorted((tmp_path / str(number)).glob("*/*.*"))
        contents.append([(file.name, file.read_bytes()) for file in files if file.name != ".lock"])
    assert contents[0] == contents[1] and len(contents[0]) > 6


def test_tasks_of_one_data_set_share_a_store(raw: Path, tmp_path: Path) -> None:
    prepared(task(raw), tmp_path / "data" / "outcome")
    before = [(file, file.stat().st_mtime_ns) for file in stores(tmp_path / "data")[0].iterdir()]
    prepared(HeartPipeline(task(raw).data, None), tmp_path / "data" / "pretraining")
    prepared(task(raw, "circor_murmur"), tmp_path / "data" / "murmur")
    assert [(file, file.stat().st_mtime_ns) for file in stores(tmp_path / "data")[0].iterdir()] == before


def test_a_changed_label_leaves_the_store_as_it_is(raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared(task(raw), tmp_path / "data" / "choice")
    text = (raw / "100.txt").read_text()
    (raw / "100.txt").write_text(text.replace("Normal", "Abnormal"))
    prepared(task(raw), tmp_path / "data" / "choice")
    assert f"circor at {raw} has changed" in caplog.text and "recordings of circor" not in caplog.text
    (store,) = stores(tmp_path / "data")
    before = [file.stat().st_mtime_ns for file in store.glob("*.parquet")]
    counts = prepared(task(raw), tmp_path / "data" / "new").data_spec["class_recordings"]
    assert sum(numbers["Abnormal"] for numbers in counts.values()) == 7
    assert [file.stat().st_mtime_ns for file in store.glob("*.parquet")] == before and len(stores(store.parent)) == 1


def test_a_changed_sound_is_noticed_for_both(raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = prepared(task(raw), tmp_path / "data" / "choice")
    write_wav(raw / "100_AV.wav", seed=99)
    assert prepared(task(raw), tmp_path / "data" / "choice") == first
    assert (
        "recordings of circor at" in caplog.text and f"circor at {raw} has changed since it was prepared" in caplog.text
    )
    before = stores(tmp_path / "data")
    later = prepared(task(raw), tmp_path / "data" / "later")
    assert "which is left as it is; it is stored anew in" in caplog.text
    assert len(stores(tmp_path / "data")) == 2 and later.stores[0].folder not in [store.name for store in before]
    assert rows_in(task(raw), tmp_path / "data" / "choice") and rows_in(task(raw), tmp_path / "data" / "later")


def test_a_choice_from_other_rows_is_made_again(raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = prepared(task(raw), tmp_path / "data" / "choice")
    prepared(task(raw, shot_ratio=0.5), tmp_path / "data" / "few")
    write_wav(raw / "100_AV.wav", seed=99)
    prepare(task(raw, shot_ratio=0.5), Folder(str(tmp_path / "data" / "few")), again=True)
    with pytest.raises(ValueError, match="which has been prepared anew from other raw data; run prepare again"):
        open_split(Folder(str(tmp_path / "data" / "choice")), first, "train")
    second = prepared(task(raw), tmp_path / "data" / "choice")
    assert "they are chosen again" in caplog.text and second.stores != first.stores
    assert second.source_hash != first.source_hash and len(stores(tmp_path / "data")) == 1


def test_settings_that_cannot_choose_store_nothing(raw: Path, tmp_path: Path) -> None:
    (raw / "100.txt").write_text((raw / "100.txt").read_text().replace("Normal", "Fine"))
    with pytest.raises(ValueError, match="has Outcome 'Fine', expected one of"):
        prepared(task(raw), tmp_path / "data" / "choice")
    assert not (tmp_path / "data").exists()


def test_only_a_choice_that_needs_a_damaged_file_refuses_it(raw: Path, tmp_path: Path) -> None:
    few = task(raw, shot_ratio=0.3)
    chosen = {path.name for path in few.used_files()}
    unused = next(path for path in sorted(raw.glob("*.wav")) if path.name not in chosen)
    unused.write_bytes(b"RIFF")
    assert prepared(task(raw, shot_ratio=0.3), tmp_path / "data" / "few").left_out == {}
    with pytest.raises(ValueError, match=f"{unused.name}: "):
        prepared(task(raw), tmp_path / "data" / "all")
    skipped = prepared(task(raw, on_bad_file="skip"), tmp_path / "data" / "all")
    assert [Path(each.file).name for found in skipped.left_out.values() for each in found] == [unused.name]
    assert sum(skipped.num_rows(split) for split in ("train", "val", "test")) == 11
    assert skipped.files is not None and skipped.files.left_out["damaged"] == 1
    assert sum(skipped.data_spec["num_left_out"].values()) == 1
    assert skipped.files.listed == skipped.files.used + sum(skipped.files.left_out.values())
    (store,) = stores(tmp_path / "data")
    write_wav(unused, seed=5)
    assert prepared(task(raw), tmp_path / "data" / "mended").num_rows("train") > 0 and len(stores(store.parent)) == 2

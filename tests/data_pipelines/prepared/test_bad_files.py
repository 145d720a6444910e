"""Damaged raw files: all are named, or their rows are left out, counted and named; whatever happens in between."""

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from data_pipelines.contract.config import OnBadFile
from data_pipelines.contract.pipeline import Manifest
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.manifest import load_manifest, save_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.raw.file_counts import describe_files
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder

NUM = 30


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for label in ("cat", "dog"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(NUM):
            pixels = np.full((8, 8), 100 * (label == "dog") + number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "raw" / label / f"{number}.png")
    return tmp_path / "raw"


def _pipeline(raw: Path, on_bad_file: OnBadFile = "skip") -> ImagePipeline:
    return ImagePipeline(ImageData(source="folder", path=raw, size=8, channels=1, on_bad_file=on_bad_file))


def _damage(raw: Path, *names: str) -> None:
    for name in names:
        (raw / name).write_bytes(b"no picture")


def _levels(folder: Path, manifest: Manifest, pipeline: ImagePipeline) -> list[int]:
    split = open_split(Folder(str(folder)), manifest, "train")
    table = pa.concat_tables(split.load(index, pipeline) for index in range(len(split.shards)))
    return [image[0] for image in table["image"].to_pylist()]


def test_all_damaged_files_are_named_and_counted(raw: Path) -> None:
    _damage(raw, *(f"cat/{number}.png" for number in range(22)))
    with pytest.raises(ValueError) as caught:
        prepare(_pipeline(raw, "refuse"), Folder(str(raw.parent / "p")), rows_per_shard=4)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("22 files cannot be used; ") and "workload.data.on_bad_file=skip" in first
    assert len(lines) == 21 and lines[-1] == "  and 2 more"
    assert all("is of an unknown kind (it begins with 'no picture')" in line for line in lines[:-1])
    assert not (raw.parent / "p" / "manifest.json").exists()


def test_rows_of_damaged_files_are_left_out_and_counted(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = prepare(_pipeline(raw), Folder(str(raw.parent / "whole")), rows_per_shard=7)
    before = _levels(raw.parent / "whole", whole, _pipeline(raw))
    _damage(raw, "cat/0.png", "cat/9.png", "dog/3.png")  # the second is for testing
    (raw / "dog" / ".hidden.png").write_bytes(b"x")
    manifest = prepare(_pipeline(raw), Folder(str(raw.parent / "p")), rows_per_shard=7)
    assert _levels(raw.parent / "p", manifest, _pipeline(raw)) == [level for level in before if level not in (0, 103)]
    assert manifest.num_rows("train") == 52 and manifest.num_raw_rows("train") == 54
    assert {Path(each.file).name for each in manifest.left_out["train"]} == {"0.png", "3.png"}
    assert [each.file for each in manifest.left_out["test"]] == [str(raw / "cat/9.png")]
    assert manifest.files is not None
    assert describe_files(manifest.files) == "61 raw files: 57 used, 4 left out (damaged: 3, hidden: 1)"
    assert "lacks the rows of 3 damaged files" in caplog.text


@pytest.mark.parametrize("rows_per_shard", [1, 3, 1000])
def test_shards_are_the_same_after_an_interruption(raw: Path, rows_per_shard: int) -> None:
    names = [f"{label}/{number}.png" for label in ("cat", "dog") for number in (*range(11), 25)]
    _damage(raw, *names)
    whole = prepare(_pipeline(raw), Folder(str(raw.parent / "whole")), rows_per_shard=rows_per_shard)
    folder = raw.parent / "again"

    class KilledError(Exception):
        pass

    written: set[Path] = set()

    def stop(done: int, total: int) -> None:
        found = set(folder.glob("*.parquet")) - written
        written.update(found)
        if found:
            raise KilledError

    manifest = None
    while manifest is None:  # each call writes a shard
        with suppress(KilledError):
            manifest = prepare(_pipeline(raw), Folder(str(folder)), rows_per_shard=rows_per_shard, on_progress=stop)
    assert manifest.splits == whole.splits and manifest.left_out == whole.left_out
    (folder / whole.splits["train"][0].name).unlink()
    assert prepare(_pipeline(raw), Folder(str(folder))).splits == whole.splits


def test_rows_beside_a_refused_file_are_read_when_it_is_left_out(raw: Path) -> None:
    _damage(raw, "cat/0.png")
    whole = prepare(_pipeline(raw), Folder(str(raw.parent / "whole")), rows_per_shard=20)
    with pytest.raises(ValueError, match=r"cat/0\.png"):
        prepare(_pipeline(raw, "refuse"), Folder(str(raw.parent / "p")), rows_per_shard=20)
    assert prepare(_pipeline(raw), Folder(str(raw.parent / "p"))).splits == whole.splits


def test_a_split_of_damaged_files_alone_is_refused(raw: Path) -> None:
    _damage(raw, *(f"{label}/{number}.png" for label in ("cat", "dog") for number in (9, 19, 29)))
    with pytest.raises(ValueError, match="6 files cannot be used; no file of the split test can be read"):
        prepare(_pipeline(raw), Folder(str(raw.parent / "p")))


def test_rows_left_out_are_refused_where_they_are_not_allowed(raw: Path) -> None:
    _damage(raw, "cat/0.png")
    manifest = prepare(_pipeline(raw), Folder(str(raw.parent / "p")))
    with pytest.raises(ValueError, match=r"lacks the rows of 1 damaged files \(.*0\.png\); give `--set workload"):
        load_manifest(Folder(str(raw.parent / "p")), _pipeline(raw, "refuse"))
    assert load_manifest(Folder(str(raw.parent / "p")), _pipeline(raw)) == manifest


def test_a_file_that_can_be_read_now_does_not_change_a_shard(raw: Path) -> None:
    _damage(raw, "cat/0.png")
    manifest = prepare(_pipeline(raw), Folder(str(raw.parent / "p")), rows_per_shard=1000)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(raw / "cat/0.png")
    save_manifest(
        Folder(str(raw.parent / "p")), manifest.model_copy(update={"source_hash": _pipeline(raw).source_hash()})
    )
    (raw.parent / "p" / manifest.splits["train"][0].name).unlink()
    with pytest.raises(ValueError, match="54 rows can be read now, and 53 were stored; run prepare with --again"):
        prepare(_pipeline(raw), Folder(str(raw.parent / "p")))


def test_counts_of_files_name_the_reasons(raw: Path) -> None:
    (raw / "cat" / "again.png").symlink_to(raw / "cat" / "0.png")
    (raw / ".notes").write_text("x")
    manifest = prepare(_pipeline(raw), Folder(str(raw.parent / "p")))
    assert manifest.files is not None and manifest.files.used == 60 and manifest.files.listed == 62
    assert manifest.files.left_out == {"hidden": 1, "the same file as another one": 1}


def test_many_warnings_of_one_kind_are_counted(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in raw.rglob("*.png"):
        Image.fromarray(np.full((8, 8), 9, np.uint16)).save(path)
    prepare(_pipeline(raw), Folder(str(raw.parent / "p")))
    said = [record.getMessage() for record in caplog.records]
    assert sum("has 16-bit grey levels" in words for words in said) == 20 + 1
    assert said[-1].startswith("and ") and " more of: ...: has 16-bit grey levels" in said[-1]
    assert not logging.getLogger().handlers[-1].filters


def test_copies_of_training_files_are_named(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = _pipeline(raw).data.model_copy(update={"validation_ratio": 0.2})
    prepare(ImagePipeline(data), Folder(str(raw.parent / "before")))
    assert not caplog.records  # equal sizes, other contents
    origin = ImagePipeline(data).split_files()["train"][0]
    (raw / "cat/9.png").write_bytes(origin.read_bytes())  # which is for testing
    prepare(ImagePipeline(data), Folder(str(raw.parent / "p")))
    assert "1 files for validation or testing have the content of a training file" in caplog.text
    assert f"{raw}/cat/9.png = {origin}" in caplog.text

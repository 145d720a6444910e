"""Raw data that change after they were prepared are noticed; those that only moved in time are not."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for label in ("cat", "dog"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(3):
            _save(tmp_path / "raw" / label / f"{number}.png", number + 10 * (label == "dog"))
    return tmp_path / "raw"


def _save(path: Path, level: int) -> None:
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(path)


def _prepare(raw: Path, **settings: Any) -> str:
    data = ImageData.model_validate({"source": "folder", "path": raw, "size": 8, "channels": 1, **settings})
    return prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared"))).raw_stamp


@pytest.mark.parametrize("change", ["content", "new", "gone"])
def test_a_change_of_the_raw_data_is_named(raw: Path, caplog: pytest.LogCaptureFixture, change: str) -> None:
    _prepare(raw)
    if change == "gone":
        (raw / "cat" / "1.png").unlink()
    else:
        _save(raw / "cat" / ("1.png" if change == "content" else "9.png"), 200)
    assert not caplog.records
    _prepare(raw)
    words = {
        "content": f"1 files are newer: {raw}/cat/1.png)",
        "new": f"6 files were used and 7 would be now; 1 files are newer: {raw}/cat/9.png)",
        "gone": "6 files were used and 5 would be now; none of its files is newer)",
    }
    assert words[change] in caplog.text
    assert "has changed since it was prepared" in caplog.text and "run prepare with --again" in caplog.text


def test_a_damaged_file_is_no_change_of_their_number(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    (raw / "cat" / "1.png").write_bytes((raw / "cat" / "1.png").read_bytes()[:-20])
    _prepare(raw, on_bad_file="skip")
    _save(raw / "dog" / "1.png", 200)
    _prepare(raw, on_bad_file="skip")
    assert f"prepared in {raw.parent}/prepared (1 files are newer: {raw}/dog/1.png)" in caplog.text


def test_prepare_again_takes_the_change(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = ImageData(source="folder", path=raw, size=8, channels=1)
    before = prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared")))
    _save(raw / "cat" / "9.png", 200)
    after = prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared")), again=True)
    assert after.num_rows("train") == before.num_rows("train") + 1
    assert prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared"))) == after and not caplog.records
    raw.rename(raw.with_name("moved"))
    with pytest.raises(ValueError, match="raw"):
        prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared")), again=True)
    assert len(list((raw.parent / "prepared").glob("*.parquet"))) == 2


def test_a_new_time_alone_is_looked_into_once(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = _prepare(raw)
    os.utime(raw / "cat" / "1.png", (1, 1))
    _prepare(raw)
    after = _prepare(raw)
    assert not caplog.records and before != after == _prepare(raw)


def test_without_the_raw_data_nothing_is_said(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    _prepare(raw)
    raw.rename(raw.with_name("moved"))
    data = ImageData(source="folder", prepared=str(raw.parent / "prepared"), size=8, channels=1)
    prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared")))
    assert not caplog.records


def test_a_file_that_moves_to_another_class_is_noticed(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in raw.rglob("*.png"):
        os.utime(path, (1, 1))
        _save(path, 7) if path.parent.name == "cat" else None
        os.utime(path, (1, 1))
    _prepare(raw)
    (raw / "cat").rename(raw / "bird")
    (raw / "dog").rename(raw / "cat")
    (raw / "bird").rename(raw / "dog")
    _prepare(raw)
    assert "has changed since it was prepared" in caplog.text


def test_a_refused_preparation_again_keeps_the_rows_of_before(raw: Path) -> None:
    data = ImageData(source="folder", path=raw, size=8, channels=1)
    before = prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared")))
    whole = (raw / "cat" / "1.png").read_bytes()
    (raw / "cat" / "1.png").write_bytes(whole[:40])
    with pytest.raises(ValueError, match=r"cat/1\.png"):
        prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared")), again=True)
    (raw / "cat" / "1.png").write_bytes(whole)
    assert prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared"))).splits == before.splits
    after = prepare(ImagePipeline(data), Folder(str(raw.parent / "prepared")), again=True)
    assert after.splits == before.splits and not (raw.parent / "prepared.again").exists()


def test_raw_data_that_cannot_be_listed_are_told_of(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    _prepare(raw)
    shutil.rmtree(raw)
    raw.mkdir()  # as a disk that is not mounted
    assert _prepare(raw)
    assert "cannot be listed any more" in caplog.text and "the rows of before are used" in caplog.text

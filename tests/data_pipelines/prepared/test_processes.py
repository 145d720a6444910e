"""Shards from several processes: the same bytes, manifest, warnings and refusals as from one, whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_pipelines.contract.config import OnBadFile
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.making import shard_processes
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder
from data_pipelines.super_resolution.config import SuperResolutionData
from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from tests.data_pipelines.heart_sounds.heart_files import write_physionet
from tests.image_fixtures import save_noise

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for label in ("cat", "dog"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(40):
            pixels = np.full((8, 8), 100 * (label == "dog") + number, np.uint16)  # each is warned of
            Image.fromarray(pixels).save(tmp_path / "raw" / label / f"{number}.png")
    return tmp_path / "raw"


def _pipeline(raw: Path, on_bad_file: OnBadFile = "skip") -> ImagePipeline:
    return ImagePipeline(ImageData(source="folder", path=raw, size=8, channels=1, on_bad_file=on_bad_file))


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".parquet", ".json")}


def _damage(raw: Path) -> None:
    for name in ("cat/0.png", "dog/7.png", "dog/9.png"):
        (raw / name).write_bytes(b"no picture")


def test_processes_write_the_same_bytes_and_warnings(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    _damage(raw)
    said, calls = [], []
    for number in (1, 3):
        caplog.clear()
        folder = raw.parent / str(number)
        prepare(
            _pipeline(raw),
            Folder(str(folder)),
            rows_per_shard=5,
            num_processes=number,
            on_progress=lambda *call: calls.append(call),
        )
        said.append([record.getMessage().replace(str(folder), "") for record in caplog.records])
        assert calls[-1] == (80, 80)
    assert _content(raw.parent / "1") == _content(raw.parent / "3")
    assert said[0] == said[1] and any("has 16-bit grey levels" in words for words in said[0])


def test_other_sources_are_the_same_from_processes(tmp_path: Path) -> None:
    write_physionet(tmp_path / "hearts", {f"c{number:04d}": "1" if number % 2 else "-1" for number in range(1, 25)})
    for number in range(20):
        save_noise(tmp_path / f"images/{number}.png", 60, 64, seed=number)
    pipelines = [
        HeartPipeline(HeartData(physionet2016=tmp_path / "hearts"), "physionet2016"),
        SuperResolutionPipeline(SuperResolutionData(source="folder", path=tmp_path / "images", lr_patch_size=8)),
    ]
    for place, pipeline in enumerate(pipelines):
        folders = [tmp_path / f"{place}-{number}" for number in (1, 2)]
        for number, folder in enumerate(folders, start=1):
            prepare(pipeline, Folder(str(folder)), rows_per_shard=3, num_processes=number)
        assert _content(folders[0]) == _content(folders[1])


def test_processes_name_all_damaged_files_in_order(raw: Path) -> None:
    _damage(raw)
    words = []
    for number in (1, 2):
        with pytest.raises(ValueError, match="3 files cannot be used") as caught:
            prepare(
                _pipeline(raw, "refuse"), Folder(str(raw.parent / str(number))), rows_per_shard=5, num_processes=number
            )
        words.append(str(caught.value))
    assert words[0] == words[1]


def test_a_killed_preparation_goes_on_with_what_was_made(raw: Path) -> None:
    whole = prepare(_pipeline(raw), Folder(str(raw.parent / "whole")), rows_per_shard=2)
    code = (
        "import sys, time; from pathlib import Path; from data_pipelines.prepared.prepare import prepare; "
        "from data_pipelines.images.config import ImageData; from data_pipelines.images.pipeline import ImagePipeline; "
        "from data_pipelines.storage.folder import Folder; "
        "raw, folder = Path(sys.argv[1]), Folder(sys.argv[2]); "
        "data = ImageData(source='folder', path=raw, size=8, channels=1, on_bad_file='skip'); "
        "prepare(ImagePipeline(data), folder, rows_per_shard=2, num_processes=2, "
        "on_progress=lambda *call: time.sleep(0.05))"
    )
    folder = raw.parent / "killed"
    process = subprocess.Popen([sys.executable, "-c", code, str(raw), str(folder)], cwd=ROOT, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while len(_made(folder)) < 4:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {folder / each["shard"]["name"] for each in _made(folder)}
    times = {path: path.stat().st_mtime_ns for path in before}
    assert prepare(_pipeline(raw), Folder(str(folder)), num_processes=2).splits == whole.splits
    assert len(times) >= 4 and all(path.stat().st_mtime_ns == changed for path, changed in times.items())


def _made(folder: Path) -> list[dict[str, Any]]:
    """The shards that the record of an unfinished folder lists."""
    record = folder / "partial.json"
    return json.loads(record.read_text())["made"] if record.exists() else []


def test_a_process_that_ends_too_early_is_told_of(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_processes, "MODULE", "this")  # a module that reads no task
    with pytest.raises(RuntimeError, match=r"a process of prepare ended before its work was done .*--processes 1"):
        prepare(_pipeline(raw), Folder(str(raw.parent / "p")), rows_per_shard=5, num_processes=2)


def test_processes_end_with_the_one_that_started_them(raw: Path) -> None:
    prepare(_pipeline(raw), Folder(str(raw.parent / "p")), rows_per_shard=5, num_processes=2)
    children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True).stdout
    assert shard_processes.MODULE not in children


def test_rows_in_memory_are_refused_for_processes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"as they come from no files .*--processes 1"):
        prepare(ImagePipeline(ImageData()), Folder(str(tmp_path / "p")), num_processes=2)

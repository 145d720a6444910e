"""Prepared data on an object store: the same bytes as on a disk, resumed, repaired, and read by few requests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared import folder_lock, shard_files
from data_pipelines.prepared.manifest import load_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage import lease, lease_mark
from data_pipelines.storage.file_cache import FileCache
from data_pipelines.storage.folder import Folder
from tests.s3_server import S3Server, set_credentials, started_s3_server

PIPELINE = ImagePipeline(ImageData())
ROOT = Path(__file__).resolve().parents[3]
ROWS = 100
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with started_s3_server() as started:
        yield started


@pytest.fixture
def folder(server, monkeypatch, tmp_path) -> Folder:
    """An empty folder in the bucket; two that lock it at the same time are not told apart so soon."""
    set_credentials(monkeypatch)
    monkeypatch.setattr(lease_mark, "SETTLE_S", 0.0)
    return Folder(server.uri(f"{tmp_path.name}/prepared"))


def contents(folder: Folder) -> dict[str, bytes]:
    return {name: folder.read(name) for name in folder.sizes() if not name.startswith(".")}


def test_prepared_shards_are_those_of_a_disk(folder, tmp_path):
    manifest = prepare(PIPELINE, folder, rows_per_shard=ROWS)
    on_disk = Folder(str(tmp_path / "prepared"))
    assert prepare(PIPELINE, on_disk, rows_per_shard=ROWS) == manifest
    assert contents(folder) == contents(on_disk) and len(contents(folder)) == 20
    assert ".lock" not in folder.names()


def test_a_choice_finds_its_rows_in_the_bucket(folder, server, tmp_path):
    pipeline = ImagePipeline(ImageData(validation_ratio=0.2))
    manifest = prepare(pipeline, folder, rows_per_shard=ROWS)
    on_disk = Folder(str(tmp_path / "prepared"))
    assert prepare(pipeline, on_disk, rows_per_shard=ROWS) == manifest
    assert contents(folder.sibling(PIPELINE.key)) == contents(on_disk.sibling(PIPELINE.key))
    for cache in (None, FileCache(10**9, str(tmp_path / "cache")), FileCache(1000)):
        found, expected = open_split(folder, manifest, "val", cache=cache), open_split(on_disk, manifest, "val")
        assert all(found.load(part, pipeline).equals(expected.load(part, pipeline)) for part in range(2))
    folder.sibling(PIPELINE.key).delete("manifest.json")
    with pytest.raises(ValueError, match="which holds no prepared data; copy the folder digits-"):
        open_split(folder, manifest, "val")


def test_a_cache_that_is_too_small_is_not_used_and_parts_are_read(folder, server, monkeypatch):
    monkeypatch.setattr(shard_files, "GROUP_BYTES", 72 * 10)
    manifest = prepare(PIPELINE, folder, rows_per_shard=ROWS)
    split = open_split(folder, manifest, "train", cache=FileCache(1000))
    assert split.cache is None and open_split(folder, manifest, "train", cache=FileCache(10**9)).cache is not None
    whole = split.load(3, PIPELINE)
    server.requests.clear()
    assert split.load(3, PIPELINE, (35, 47)).equals(whole.slice(35, 12))
    assert len(server.requests) <= 6


def test_reading_a_whole_folder_sends_few_requests(folder, server, tmp_path):
    """As many as for one shard, whatever their number; then two for each shard, and with a cache none."""
    manifest = prepare(PIPELINE, folder, rows_per_shard=ROWS)
    server.requests.clear()
    assert prepare(PIPELINE, folder) == manifest
    split = open_split(folder, manifest, "train", cache=FileCache(2**20, str(tmp_path / "cache")))
    assert len(split.shards) == 15 and len(server.requests) <= 8, server.requests
    server.requests.clear()
    loaded = [pa.concat_tables(split.load(index, PIPELINE) for index in range(15)) for _ in range(2)]
    assert len(server.requests) <= 2 * 15, server.requests
    assert loaded[0].equals(loaded[1]) and loaded[0].equals(pa.concat_tables(PIPELINE.read_raw("train", 0)))


def test_a_shard_is_read_by_two_requests_without_a_cache(folder, server):
    split = open_split(folder, prepare(PIPELINE, folder), "train")
    server.requests.clear()
    assert split.load(0, PIPELINE).num_rows == 1442
    assert len(server.requests) == 2


def test_a_killed_preparation_goes_on_where_it_was(folder, tmp_path):
    code = (
        "import sys, time; from data_pipelines.prepared.prepare import prepare; "
        "from data_pipelines.images.config import ImageData; from data_pipelines.images.pipeline import ImagePipeline; "
        "from data_pipelines.storage.folder import Folder; "
        "prepare(ImagePipeline(ImageData()), Folder(sys.argv[1]), rows_per_shard=100, "
        "on_progress=lambda *call: time.sleep(1.0))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, folder.uri], cwd=ROOT)
    end = time.monotonic() + 300
    while len(_recorded(folder)) < 3:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    recorded = _recorded(folder)
    assert "manifest.json" not in folder.names() and len(recorded) < 19
    with pytest.raises(ValueError, match="holds no prepared data"):
        load_manifest(folder, PIPELINE)
    seen: list[int] = []
    manifest = prepare(PIPELINE, folder, on_progress=lambda done, total: seen.append(done))
    assert seen[2] >= ROWS * (len(recorded) - 1)  # the last one of a split has fewer rows
    assert manifest == prepare(PIPELINE, Folder(str(tmp_path / "whole")), rows_per_shard=ROWS)


def _recorded(folder: Folder) -> list[dict[str, object]]:
    """The shards that the record of an unfinished folder lists; it is written about once a second."""
    try:
        return json.loads(folder.read_if_any("partial.json") or b"")["made"]
    except json.JSONDecodeError:  # there is none yet, or it was replaced between the request for its size and the next
        return []


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_damaged_shard_in_the_bucket_is_remade_alone(folder, damage):
    manifest = prepare(PIPELINE, folder, rows_per_shard=ROWS)
    before = contents(folder)
    name = "train-00002.parquet"
    if damage == "missing":
        folder.delete(name)
    else:
        folder.write(name, before[name][:-1])
    with pytest.raises(ValueError, match=rf"{name}.* is missing or cut off"):
        open_split(folder, manifest, "train")
    others = {other: folder.modified_ns(other) for other in before if other not in (name, "manifest.json")}
    assert prepare(PIPELINE, folder) == manifest and contents(folder) == before
    assert {other: folder.modified_ns(other) for other in others} == others


@pytest.mark.parametrize("has_cache", [False, True])
def test_a_shard_of_other_content_is_refused_by_name(folder, tmp_path, has_cache):
    manifest = prepare(PIPELINE, folder)
    content = bytearray(folder.read("train-00000.parquet"))
    content[200] ^= 1
    folder.write("train-00000.parquet", bytes(content))
    cache = FileCache(2**20, str(tmp_path / "cache")) if has_cache else None
    split = open_split(folder, manifest, "train", cache=cache)
    with pytest.raises(ValueError, match=r"00000\.parquet.*: the file is damaged \(does not match its checksum\)"):
        split.load(0, PIPELINE)


def test_again_writes_all_anew_and_leaves_nothing_beside(folder, server):
    manifest = prepare(PIPELINE, folder, rows_per_shard=ROWS)
    server.requests.clear()
    assert prepare(PIPELINE, folder, rows_per_shard=900, again=True).num_rows("train") == manifest.num_rows("train")
    assert len([name for name in folder.names() if name.endswith(".parquet")]) == 3
    assert folder.sibling(f"{folder.name}.again").names() == []
    moved = [request for request in server.requests if request.startswith("PUT") and "/prepared/" in request]
    assert moved[-1].endswith("/prepared/?")  # the folder's mark, after the manifest in the other one was deleted
    assert moved[-2].endswith("/prepared/manifest.json?")


def test_a_second_preparation_is_refused_by_name(folder):
    with folder_lock.only_one(folder), pytest.raises(lease.HeldError, match=r"is in use by process \d+ on"):
        prepare(PIPELINE, folder)


def test_a_lost_lock_ends_the_preparation(folder, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    monkeypatch.setattr(lease, "LOOK_S", 0.05)

    def lose(done: int, total: int) -> None:
        folder.delete(".lock")
        time.sleep(0.5)

    with pytest.raises(ValueError, match="was deleted; this process stops preparing it"):
        prepare(PIPELINE, folder, rows_per_shard=ROWS, on_progress=lose)
    assert "manifest.json" not in folder.names()


def test_a_folder_of_other_files_is_refused_in_a_bucket(folder):
    folder.write("notes.txt", b"mine")
    with pytest.raises(ValueError, match="holds files that prepare did not write"):
        prepare(PIPELINE, folder)
